import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { entropy, isRandom, isSecretFile } from "./secret-rules.ts";
import { findSecrets, withoutSecrets } from "./secrets.ts";

const signal = new AbortController().signal;

function search(text: string, { place = "src/a.ts", known = [] as string[] } = {}) {
  return findSecrets([{ place, blocks: [{ line: 1, text }] }], { signal, knownSecrets: known });
}

/** Characters without a pattern, and no one's: put together here, so that no file of ours holds a token. */
const DRAWN = "aB3dE5fG7hI9jK1lM3nO5pQ7rS9tU1vW3xY5kJ8mP2vL9qR5zT4wN6";
const drawn = (length: number) => DRAWN.repeat(4).slice(0, length);

test.each([
  ["GitHub", `const t = "ghp_${drawn(36)}";`],
  ["GitHub, fine-grained", `github_pat_11ABCDEFG0abcdefghijkl_${drawn(59)}`],
  ["Slack", `xoxb-123456789012-123456789012-${drawn(24)}`],
  ["AWS", `AWS_SECRET_ACCESS_KEY=${drawn(40)}`],
  ["npm", `//npm.example.org/:_authToken=npm_${drawn(36)}`],
  ["Anthropic", `sk-ant-api03-${drawn(93)}AA`],
  ["GitLab", `glpat-${drawn(20)}`],
  ["Stripe", `sk_live_${drawn(24)}`],
  ["Telegram", `7081592634:AA${drawn(33)}`],
  ["Atlassian", `ATATT3xFfGF0${drawn(180)}`],
  ["webhooks", `whsec_${drawn(32)}`],
  [
    "a key",
    `-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMw\n`,
  ],
])("a token of a known form is found for sure: %s", async (_name, text) => {
  const found = await search(`first line\n${text}\nlast line`);

  expect(found.map(({ line, certainty }) => ({ line, certainty }))).toEqual([{ line: 2, certainty: "sure" }]);
  expect(withoutSecrets(text, found)).toContain("[redacted]");
});

test.each([
  ["an assignment", `const apiKey = "${drawn(32)}";`],
  ["a line of an environment file", `DB_PASSWORD=${drawn(24)}`],
  ["a key of YAML", `  client_secret: ${drawn(40)}`],
  ["hexadecimal digits", `api_key = "3f9a8b7c6d5e4f3a2b1c0d9e8f7a6b5c"`],
  ["a header", `authorization: "Bearer ${drawn(40)}"`],
  ["a signed token", `eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NSJ9.${drawn(43)}`],
  ["a password in an address", "postgres://admin:sup3rs3cret@db.internal:5432/app"],
])("what only looks like a secret is for a person to judge: %s", async (_name, text) => {
  const found = await search(text);

  expect(found.map(({ certainty }) => certainty)).toEqual(["likely"]);
});

test.each([
  ["a hash of a lock file", `"integrity": "sha512-${Buffer.from(drawn(64)).toString("base64")}"`],
  ["a commit", "const base = '3f786850e387550fdab836ed7e6dc881de23001b';"],
  ["a UUID", `token: "550e8400-e29b-41d4-a716-446655440000"`],
  ["an image", `src="data:image/png;base64,${Buffer.from(drawn(200)).toString("base64")}"`],
  ["code", "const token = readTokenFromEnvironment(env, 'ROBSON_TOKEN2');"],
  ["a variable", `password: \${DB_PASSWORD_2}\nsecret: {{ vault.secret1234567890 }}`],
  ["a placeholder", "api_key = 'your-api-key-goes-here-1234'\nsecret = 'xxxxxxxxxxxxxxxx1a'"],
  ["a name", `secretName: "shop-prod-database-v2"\ntoken: projects/42/secrets/db-v2`],
  ["a sentence", "password: please choose one with 12 characters or more"],
  ["an address", `tokenUrl: "https://auth.example.org/oauth2/v2/token"`],
  ["a digest in a test", `expect(digest).toBe("${Buffer.from(drawn(32)).toString("hex")}")`],
])("ordinary text is no secret: %s", async (_name, text) => {
  expect(await search(text)).toEqual([]);
});

test("nothing in Robson's own program and lock file is taken for a secret", async () => {
  const root = new URL("../../..", import.meta.url).pathname;
  const files = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts") && !/\.(?:test|fixture)\.ts$/.test(name))
    .map((name) => join("src", name));
  const texts = [...files, "package-lock.json", "robson.example.toml"].map((place) => ({
    place,
    blocks: [{ line: 1, text: readFileSync(join(root, place), "utf8") }],
  }));

  const found = await findSecrets(texts, { signal });

  expect(found.map(({ place, line, what }) => `${place}:${line} ${what}`)).toEqual([]);
});

test("a comment in a file does not switch the search off", async () => {
  const text = `/* secretlint-disable */\n// secretlint-disable-next-line\nconst t = "ghp_${drawn(36)}";`;

  expect(await search(text)).toHaveLength(1);
});

test("a secret that Robson holds is found in every place of a text, however it is spelled", async () => {
  const known = "Correct-Horse_7+Battery";
  const value = fc.constantFrom(
    known,
    encodeURIComponent(known),
    Buffer.from(known).toString("hex"),
    [...known].reverse().join(""),
  );
  const inBase64 = fc.string().map((before) => Buffer.from(`${before}${known}x`).toString("base64"));
  await fc.assert(
    fc.asyncProperty(fc.string(), fc.oneof(value, inBase64), fc.string(), async (before, hidden, after) => {
      const found = await search(`${before}${hidden}${after}`, { known: [known] });

      expect(found.some(({ what }) => what === "a secret that Robson itself holds")).toBe(true);
    }),
    { numRuns: 60 },
  );
});

test("a secret on the border of two parts is found, with the line on which it stands", async () => {
  const token = `ghp_${drawn(36)}`;
  for (const offset of [-50, -20, 0]) {
    const before = "x y\n".repeat((96 * 1024) / 4).slice(0, 96 * 1024 + offset);
    const found = await search(`${before}\n${token}\n${"z ".repeat(20_000)}`);

    expect(found).toEqual([expect.objectContaining({ value: token, line: before.split("\n").length + 1 })]);
  }
});

test("lines are those of the changed file", async () => {
  const blocks = [
    { line: 10, text: "a\nb" },
    { line: 40, text: `c\nDB_PASSWORD=${drawn(24)}` },
  ];

  expect(await findSecrets([{ place: "x.env", blocks }], { signal })).toEqual([
    expect.objectContaining({ place: "x.env", line: 41 }),
  ]);
});

test("texts made to be slow are searched at once", async () => {
  for (const text of [
    "a",
    "key=",
    "sk-",
    "eyJ",
    "a.eyJ",
    "password",
    "-----BEGIN PRIVATE KEY-----",
    " ",
    "1:AA",
  ]) {
    await search(text.repeat(400_000 / text.length));
  }
});

test("drawn text has more entropy than words, and a search of it can be stopped", async () => {
  expect(entropy("aaaa")).toBe(0);
  expect(entropy("abcd")).toBe(2);
  expect(isRandom(drawn(20))).toBe(true);
  expect(isRandom("getUserTokenFromStore2")).toBe(false);

  await expect(
    findSecrets([{ place: "a", blocks: [{ line: 1, text: "a" }] }], { signal: AbortSignal.abort("stop") }),
  ).rejects.toThrow();
});

test.each([
  [".env", true],
  ["deploy/.env.production", true],
  [".env.example", false],
  ["keys/id_rsa", true],
  ["id_rsa.pub", false],
  ["store.p12", true],
  ["environment.ts", false],
])("the name %s says that the file holds secrets: %s", (path, isSecret) => {
  expect(isSecretFile(path)).toBe(isSecret);
});
