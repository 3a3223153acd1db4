/** The pull requests of the local forge, for both databases: the workflow's `PullRequestStore`. */
import { sql as rawSql } from "kysely";
import { RobsonError } from "../core/errors.ts";
import type { PullRequestRequest } from "../workflow/forge.ts";
import type { PullRequest, PullRequestStore } from "../workflow/pull-request-store.ts";
import type { PullRequestsTable } from "./schema.ts";
import type { Sql } from "./sql.ts";

/** How many pull requests are listed where the caller does not say. */
const DEFAULT_LIST_LIMIT = 1000;
/** How often one is numbered anew that got the number of another of the same moment: each time one of them gets it. */
const MAX_NUMBERINGS = 20;

/** The pull requests of a database. */
export function createPullRequestStore(sql: Sql, clock: { now(): number }): PullRequestStore {
  return {
    async findOrCreate(request) {
      for (let attempt = 1; attempt <= MAX_NUMBERINGS; attempt += 1) {
        const [inserted] = await sql.write([
          insertion(sql, { request, now: clock.now() }),
          headUpdate(sql, { request, now: clock.now() }),
        ]);
        const row = await open(sql, request).executeTakeFirst();
        if (row) return { ...toPullRequest(row), isNew: (inserted?.length ?? 0) > 0 };
      }
      throw new RobsonError("STORE_BUSY", `The pull request from "${request.head}" could not be numbered`, {
        hint: "Another process was numbering one at the same moment; try again",
      });
    },
    async find(number) {
      const row = await sql.read
        .selectFrom("pull_requests")
        .selectAll()
        .where("number", "=", number)
        .executeTakeFirst();
      return row && toPullRequest(row);
    },
    async list({ repoUrl, limit = DEFAULT_LIST_LIMIT } = {}) {
      const all = sql.read.selectFrom("pull_requests").selectAll().orderBy("number").limit(limit);
      const rows = await (repoUrl === undefined ? all : all.where("repo_url", "=", repoUrl)).execute();
      return rows.map(toPullRequest);
    },
  };
}

// "On conflict do nothing" without a target: the open one of this head and base is adopted.
function insertion(sql: Sql, { request, now }: { request: PullRequestRequest; now: number }) {
  return sql.read
    .insertInto("pull_requests")
    .values({
      repo_url: request.repoUrl,
      number: rawSql<number>`(select coalesce(max(number), 0) + 1 from pull_requests)`,
      head: request.head,
      base: request.base,
      title: request.title,
      body: request.body,
      head_sha: request.headSha,
      status: "open",
      is_draft: request.isDraft === true ? 1 : 0,
      created_at: now,
      updated_at: now,
    })
    .onConflict((on) => on.doNothing())
    .returning("id")
    .compile();
}

function headUpdate(sql: Sql, { request, now }: { request: PullRequestRequest; now: number }) {
  return sql.read
    .updateTable("pull_requests")
    .set({ head_sha: request.headSha, updated_at: now })
    .where("repo_url", "=", request.repoUrl)
    .where("head", "=", request.head)
    .where("base", "=", request.base)
    .where("status", "=", "open")
    .where("head_sha", "<>", request.headSha)
    .compile();
}

function open(sql: Sql, { repoUrl, head, base }: PullRequestRequest) {
  return sql.read
    .selectFrom("pull_requests")
    .selectAll()
    .where("repo_url", "=", repoUrl)
    .where("head", "=", head)
    .where("base", "=", base)
    .where("status", "=", "open");
}

function toPullRequest(row: Omit<PullRequestsTable, "id">): PullRequest {
  return {
    repoUrl: row.repo_url,
    number: row.number,
    head: row.head,
    base: row.base,
    title: row.title,
    body: row.body,
    headSha: row.head_sha,
    ...(row.is_draft === null ? {} : { isDraft: row.is_draft === 1 }),
    status: row.status as PullRequest["status"],
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}
