import * as fc from "fast-check";
import { expect, onTestFinished, test } from "vitest";
import { DEFAULT_WORKFLOW_LIMITS } from "../limits.ts";
import { checkGates, type GateRequest } from "./check-gates.ts";
import { combineVerdicts, DEFAULT_GATE_POLICIES, GATE_DECISIONS } from "./policy.ts";
import { aRepository, type Content } from "./repository.fixture.ts";
import type { ChangedFile } from "./staged-change.ts";

const t = { onTestFinished };
const signal = new AbortController().signal;
const TOKEN = `ghp_${"aB3dE5fG7hI9jK1lM3nO5pQ7rS9tU1vW3xY5"}`;

async function gatesFor(
  files: Record<string, Content>,
  { base = {}, ...request }: Partial<GateRequest> & { base?: Record<string, Content> } = {},
) {
  const change = await (await aRepository(t, base)).change(files);
  return checkGates({ change, texts: [], limits: DEFAULT_WORKFLOW_LIMITS, signal, ...request });
}

test("an ordinary change passes without a word", async () => {
  const report = await gatesFor({ "src/a.ts": "export const a = 1;\n", "README.md": "# Hello\n" });

  expect(report).toEqual({ decision: "allow", verdicts: [], fingerprint: expect.any(String) });
});

test("a secret in the change is refused, and shown nowhere in the report", async () => {
  const report = await gatesFor({ "src/a.ts": `line\nconst t = "${TOKEN}";\n` });

  expect(report.decision).toBe("refuse");
  expect(report.verdicts[0]?.reason).toMatch(/^Found GitHub Token.* in `src\/a.ts`, line 2$/);
  expect(JSON.stringify(report)).not.toContain(TOKEN);
});

test.each([
  ["the commit message", { texts: [{ place: "the commit message", text: `Add\n\n${TOKEN}` }] }],
  ["the pull request", { texts: [{ place: "the pull request", text: TOKEN }] }],
])("a secret in %s is refused", async (place, request) => {
  const report = await gatesFor({ "a.txt": "a" }, request);

  expect(report.decision).toBe("refuse");
  expect(report.verdicts[0]?.reason).toContain(place);
  expect(JSON.stringify(report)).not.toContain(TOKEN);
});

test("a secret in a binary file or in UTF-16 is found", async () => {
  const files = {
    "a.bin": Buffer.concat([Buffer.from([0, 1, 255]), Buffer.from(TOKEN), Buffer.from([0])]),
    "b.txt": Buffer.from(`\ufeffsecret: ${TOKEN}\r\n`, "utf16le"),
  };

  const { verdicts } = await gatesFor(files);

  expect(verdicts[0]?.reason).toMatch(/`a\.bin`, line 1, .*`b\.txt`, line 1$/);
  expect(JSON.stringify(verdicts)).not.toContain(TOKEN);
});

test("a secret in the name of a file is refused, and the name is not told", async () => {
  const report = await gatesFor({ [`docs/${TOKEN}.md`]: { run: "a" } });

  expect(report.decision).toBe("refuse");
  expect(report.verdicts.map(({ gate }) => gate)).toEqual(["secrets", "executables"]);
  expect(JSON.stringify(report)).not.toContain(TOKEN);
});

test("a secret of Robson's own is refused whatever it looks like", async () => {
  const report = await gatesFor({ "a.txt": "so it is: correct horse" }, { knownSecrets: ["correct horse"] });

  expect(report.decision).toBe("refuse");
  expect(report.verdicts[0]?.reason).toContain("a secret that Robson itself holds in `a.txt`, line 1");
});

test("what may be a secret is asked about, and never refused by itself", async () => {
  const report = await gatesFor({ ".env": "DB_PASSWORD=aB3dE5fG7hI9jK1lM3nO5pQ7\n" });

  expect(report.decision).toBe("ask");
  expect(report.verdicts.map(({ decision }) => decision)).toEqual(["ask", "ask"]);
});

test("secrets that a file had before, and those that are taken out of it, are no matter of this change", async () => {
  const report = await gatesFor(
    { "a.txt": `new\n${TOKEN}\n`, "b.txt": "clean\n" },
    {
      base: { "a.txt": `${TOKEN}\n`, "b.txt": `${TOKEN}\n` },
    },
  );

  expect(report.decision).toBe("allow");
});

test.each([
  [".github/workflows/ci.yml", "protectedPaths"],
  ["sub/CODEOWNERS", "protectedPaths"],
  [".robson.toml", "protectedPaths"],
  [".husky/pre-commit", "protectedPaths"],
  ["packages/a/.gitlab-ci.yml", "protectedPaths"],
  ["infra/main.tf", "protectedPaths"],
  ["CLAUDE.md", "agentFiles"],
  ["packages/a/AGENTS.md", "agentFiles"],
  [".mcp.json", "agentFiles"],
  ["a\u202Etxt.js", "oddNames"],
  [".gitmodules", "submodules"],
])("a change of %s waits for a person or is refused: %s", async (path, gate) => {
  const report = await gatesFor({ [path]: "new\n" }, { protectedPaths: ["infra/"] });

  expect(report.verdicts.map((verdict) => verdict.gate)).toEqual([gate]);
  expect(report.decision).toBe(DEFAULT_GATE_POLICIES[gate as keyof typeof DEFAULT_GATE_POLICIES]);
});

test("a deletion of a protected file counts like a change of it", async () => {
  expect(await gatesFor({ CODEOWNERS: null }, { base: { CODEOWNERS: "* @team\n", a: "a" } })).toMatchObject({
    decision: "ask",
  });
});

test("a lock file is let through and named; robson.toml may have it asked about", async () => {
  const files = { "package-lock.json": `${'"integrity": "x"\n'.repeat(9000)}` };

  expect(await gatesFor(files)).toMatchObject({
    decision: "allow",
    verdicts: [{ gate: "lockFiles", decision: "allow", reason: "Lock files: `package-lock.json`" }],
  });
  expect(await gatesFor(files, { policies: { lockFiles: "ask" } })).toMatchObject({ decision: "ask" });
});

test("too many files, lines and bytes are asked about, with the name of the limit", async () => {
  const limits = { maxChangedFiles: 1, maxChangedLines: 3, maxChangedBytes: 20, maxChangedFileBytes: 10 };

  const { verdicts } = await gatesFor({ a: "1\n2\n", b: "12345678901\n\n34567890\n" }, { limits });

  expect(verdicts.map(({ reason }) => reason)).toEqual([
    "The change touches 2 files; the limit is maxChangedFiles (1)",
    "The change adds and removes 5 lines; the limit is maxChangedLines (3)",
    "The changed files have 26 bytes; the limit is maxChangedBytes (20)",
    "Large files: `b`; the limit is maxChangedFileBytes (10)",
  ]);
});

test("binary files and new executables are asked about, files that were executable are not", async () => {
  const base = { "old.sh": { run: "a\n" }, "plain.sh": "a\n" };
  const files = { "old.sh": { run: "b\n" }, "plain.sh": { run: "a\n" }, "logo.png": Buffer.from([0, 1, 2]) };

  const { verdicts } = await gatesFor(files, { base });

  expect(verdicts.map(({ gate, reason }) => [gate, reason])).toEqual([
    ["binaryFiles", "Files that are no text: `logo.png`"],
    ["executables", "Files that have become executable: `plain.sh`"],
  ]);
});

test.each([
  ["/etc/passwd", "it leads to a place of the machine"],
  ["../outside", "it leads out of the repository"],
  ["a/../../../x", "its target goes up again behind a folder"],
  [".git/hooks", "it leads to what git keeps for itself"],
  ["C:\\x", "it leads to a place of the machine"],
])("a link to %s is refused: %s", async (link, why) => {
  const report = await gatesFor({ here: { link } });

  expect(report).toMatchObject({ decision: "refuse", verdicts: [{ gate: "links" }] });
  expect(report.verdicts[0]?.reason).toBe(`Links: \`here\` (${why})`);
});

test("signs that turn the reading direction in a program are asked about, languages that need joiners are not", async () => {
  const trojan = await gatesFor({ "a.js": "ok\nif (x) { /* \u202e } \u2066 */ admin(); }\n" });
  expect(trojan.verdicts).toMatchObject([
    { gate: "hiddenSigns", reason: "Lines with signs that are not seen: `a.js`" },
  ]);

  expect(await gatesFor({ "fa.json": '{"want": "می\u200cخواهم", "family": "👨‍👩‍👧"}\n' })).toMatchObject({
    decision: "allow",
  });
});

test("links within the repository pass", async () => {
  expect(await gatesFor({ "deep/down/here": { link: "../../there/x" }, b: { link: "a" } })).toMatchObject({
    decision: "allow",
  });
});

test("a submodule is refused, and so are paths that a file system would take for git's own", async () => {
  const commit = "1".repeat(40);
  expect(await gatesFor({ sub: { commit } })).toMatchObject({
    decision: "refuse",
    verdicts: [{ gate: "submodules" }],
  });

  const nothing = { added: [], addedLines: 0, removedLines: 0, bytes: 0, isBinary: false, isRead: true };
  for (const path of [".GIT/config", "a/.git./x", "GIT~1/hooks/x", ".g\u200Cit/config", ".gitmodules "]) {
    const file: ChangedFile = { path, kind: "added", oldMode: "000000", mode: "100644", ...nothing };
    const change = { tree: "t", files: [file] };
    const report = await checkGates({ change, texts: [], limits: DEFAULT_WORKFLOW_LIMITS, signal });
    expect(report.verdicts.map(({ gate }) => gate)).toContain("submodules");
  }
});

test("what could not be read is asked about, because nobody has searched it", async () => {
  const report = await gatesFor({ "large.txt": "x".repeat(7_000_000) });

  expect(report.verdicts.map(({ gate }) => gate)).toEqual(["secrets", "diffSize", "diffSize"]);
  expect(report.decision).toBe("ask");
});

test("a name in a reason cannot leave its code, nor bring lines of its own", async () => {
  const { verdicts } = await gatesFor({ "a` @everyone\n# now/CLAUDE.md": "x" });

  expect(verdicts.find(({ gate }) => gate === "agentFiles")?.reason).toBe(
    "Files that coding agents take orders from: `a? @everyone?# now/CLAUDE.md`",
  );
});

test("a report's fingerprint is that of its change and texts", async () => {
  const one = await gatesFor({ "CLAUDE.md": "x" });

  expect((await gatesFor({ "CLAUDE.md": "x" })).fingerprint).toBe(one.fingerprint);
  expect((await gatesFor({ "CLAUDE.md": "y" })).fingerprint).not.toBe(one.fingerprint);
  const texts = [{ place: "the commit message", text: "x" }];
  expect((await gatesFor({ "CLAUDE.md": "x" }, { texts })).fingerprint).not.toBe(one.fingerprint);
});

test("the heaviest verdict decides", async () => {
  const decision = fc.constantFrom(...GATE_DECISIONS);
  await fc.assert(
    fc.property(fc.array(decision), (decisions) => {
      const all = decisions.map((each) => ({ gate: "links" as const, decision: each, reason: "" }));
      const expected = (["refuse", "ask"] as const).find((each) => decisions.includes(each)) ?? "allow";
      expect(combineVerdicts(all)).toBe(expected);
    }),
  );
});
