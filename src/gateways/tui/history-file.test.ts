import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../testing/temporary-folder.ts";
import { historyPath, openHistoryFile } from "./history-file.ts";

const noError = (error: unknown) => {
  throw error;
};

test("what was typed is there at the next start, with its lines", async (t) => {
  const file = join(await temporaryFolder(t), "history");
  const first = openHistoryFile(file, noError);
  first.append("/echo a");
  first.append("two\nlines");
  expect(openHistoryFile(file, noError).entries).toEqual(["/echo a", "two\nlines"]);
});

test("only its user may read it, and one that others could read is closed to them", async (t) => {
  const file = join(await temporaryFolder(t), "history");
  openHistoryFile(file, noError).append("secret");
  expect(statSync(file).mode & 0o777).toBe(0o600);
  chmodSync(file, 0o644);
  openHistoryFile(file, noError);
  expect(statSync(file).mode & 0o777).toBe(0o600);
});

test("a broken line costs one entry", async (t) => {
  const file = join(await temporaryFolder(t), "history");
  writeFileSync(file, '"a"\n"cut o\n{}\n"b"\n');
  expect(openHistoryFile(file, noError).entries).toEqual(["a", "b"]);
});

test("one that has grown loses its oldest entries", async (t) => {
  const file = join(await temporaryFolder(t), "history");
  writeFileSync(file, Array.from({ length: 2500 }, (_, index) => `"${index}"\n`).join(""));
  expect(openHistoryFile(file, noError).entries).toHaveLength(1000);
  expect(readFileSync(file, "utf8").split("\n")[0]).toBe('"1500"');
});

test("where it cannot be kept, one error is told and all goes on", async (t) => {
  const file = join(await temporaryFolder(t), "history");
  mkdirSync(file);
  const errors: unknown[] = [];
  const history = openHistoryFile(file, (error) => errors.push(error));
  history.append("a");
  history.append("b");
  expect(errors).toHaveLength(1);
  expect(history.entries).toEqual([]);
});

test("it lies beside a database that is a file, and else among the user's state, whatever the folder", () => {
  expect(historyPath("/srv/robson.db", { XDG_STATE_HOME: "/x" })).toBe("/srv/.robson-history");
  const server = "postgres://user@host/name";
  expect(historyPath(server, { XDG_STATE_HOME: "/x/state" })).toBe("/x/state/robson/history");
  const usual = join(homedir(), ".local/state/robson/history");
  expect(historyPath(server, {})).toBe(usual);
  expect(historyPath(server, { XDG_STATE_HOME: "relative" })).toBe(usual);
});

test("its folder is made with the first entry, for its user alone", async (t) => {
  const file = join(await temporaryFolder(t), "state", "robson", "history");
  const history = openHistoryFile(file, noError);
  expect(existsSync(dirname(file))).toBe(false);
  history.append("a");
  expect(openHistoryFile(file, noError).entries).toEqual(["a"]);
  expect(statSync(dirname(file)).mode & 0o777).toBe(0o700);
});
