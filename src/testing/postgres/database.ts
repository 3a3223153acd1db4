/** A database for one test on the run's PostgreSQL server, so that tests share a server and nothing else. */
import { randomBytes } from "node:crypto";
import { Client, escapeIdentifier } from "pg";
import { inject } from "vitest";
import type { TestEnd } from "../temporary-folder.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** The test run's PostgreSQL, started by test/global-setup.ts. */
    postgresUrl: string;
  }
}

export interface TestDatabase {
  name: string;
  url: string;
  /** Closes whatever is still connected, and drops the database. Safe to call twice. */
  drop(): Promise<void>;
}

export interface DatabaseOptions {
  /** The database to copy; nobody may be connected to it meanwhile. */
  template?: string;
}

/** Makes an empty database, dropped when the test `t` ends; without `t` the caller drops it. */
export async function createDatabase(t?: TestEnd, options: DatabaseOptions = {}): Promise<TestDatabase> {
  const name = `robson_test_${randomBytes(8).toString("hex")}`;
  const template = escapeIdentifier(options.template ?? "template1");
  await onServer(`create database ${escapeIdentifier(name)} template ${template}`);

  const url = new URL(inject("postgresUrl"));
  url.pathname = `/${name}`;
  const drop = () => onServer(`drop database if exists ${escapeIdentifier(name)} with (force)`);
  t?.onTestFinished(drop);
  return { name, url: url.href, drop };
}

async function onServer(statement: string): Promise<void> {
  const client = new Client({ connectionString: inject("postgresUrl") });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}
