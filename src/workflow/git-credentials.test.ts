import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { expect, type TestContext, test } from "vitest";
import { commitTree, push, stageTree } from "./commit.ts";
import { git } from "./git.ts";
import { type GitCredential, gitAccess, HELPER_VARIABLES, isUsableToken } from "./git-credentials.ts";
import { startGitServer } from "./git-server.fixture.ts";
import { openWorld } from "./workspace/repository.fixture.ts";
import { prepareWorkspace, removeWorkspace, startBranch } from "./workspace.ts";

const TOKEN = "s3cret-t0ken";
const signal = new AbortController().signal;

/** A server over https that wants a password, and the options of a git that has it. */
async function serverWithPassword(t: TestContext) {
  const world = await openWorld(t);
  const { folder } = world;
  await world.server.git("config", "http.receivepack", "true");
  const server = await startGitServer(t, { folder, login: `robot:${TOKEN}` });
  const credential: GitCredential = {
    host: server.host,
    username: "robot",
    token: TOKEN,
    caFile: server.caFile,
  };
  return { ...world, https: server, credential, url: server.url("origin.git") };
}

test("a repository over https is fetched and pushed to with the token of its host", async (t) => {
  const world = await serverWithPassword(t);
  const options = { signal, credentials: [world.credential] };

  const workspace = await prepareWorkspace({ ...world.request, repoUrl: world.url }, options);
  await startBranch(workspace, workspace.branch, options);
  writeFileSync(join(workspace.checkout, "a.txt"), "changed\n");
  const tree = (await stageTree(workspace, options)) ?? "";
  const sha = await commitTree(workspace, { tree, message: "Change\n", branch: workspace.branch }, options);
  await push(workspace, { branch: workspace.branch, sha }, options);

  expect((await world.server.git("rev-parse", workspace.branch)).trim()).toBe(sha);
  expect(new Set(world.https.logins)).toEqual(new Set([`robot:${TOKEN}`]));
  expect(JSON.stringify(workspace.environment)).not.toContain(TOKEN);
  expect(filesWith(TOKEN, world.workDirectory)).toEqual([]);
  await removeWorkspace(workspace, options);
});

test("without a token, and with a wrong one, the error says what to do and shows no secret", async (t) => {
  const { url, credential, folder } = await serverWithPassword(t);
  const listing = (credentials: GitCredential[]) =>
    git(["ls-remote", "--", url], { directory: folder, signal, remoteUrl: url, credentials });

  const { token: _, ...onlyTrust } = credential;
  await expect(listing([onlyTrust])).rejects.toMatchObject({
    code: "GIT_FAILED",
    retry: "never",
    hint: expect.stringContaining("[[git_credentials]]"),
  });
  const wrong = listing([{ ...credential, token: "wr0ng-t0ken" }]);
  await expect(wrong).rejects.toMatchObject({
    retry: "never",
    message: expect.not.stringContaining("wr0ng-t0ken"),
  });
});

test("a certificate that nobody vouches for is refused", async (t) => {
  const { url, credential, folder } = await serverWithPassword(t);
  const { caFile: _, ...withoutTrust } = credential;

  await expect(
    git(["ls-remote", "--", url], { directory: folder, signal, remoteUrl: url, credentials: [withoutTrust] }),
  ).rejects.toThrow(/certificate/);
});

test("a server that sends git on to another host gets no token there", async (t) => {
  const world = await serverWithPassword(t);
  const { folder, credential } = world;
  const other = await startGitServer(t, { folder, login: `robot:${TOKEN}` });
  const sending = await startGitServer(t, { folder, login: "", redirect: other.url("").replace(/\/$/, "") });
  const url = sending.url("origin.git");
  const credentials = [{ ...credential, host: sending.host }];

  const asked = git(["ls-remote", "--", url], { directory: folder, signal, remoteUrl: url, credentials });

  await expect(asked).rejects.toMatchObject({ hint: expect.stringContaining("not followed") });
  expect(other.logins).toEqual([]);
});

test("what git says is shown without the token, even where a server repeats it", async (t) => {
  const { folder } = await openWorld(t);
  const url = "https://git.example.org/a.git";
  const credentials = [{ host: "git.example.org", username: "robot", token: TOKEN }];
  const encoded = Buffer.from(`robot:${TOKEN}`).toString("base64");
  const args = ["-c", `alias.fail=!echo "remote: ${TOKEN} and ${encoded}" >&2; exit 1`, "fail"];

  const failing = git(args, { directory: folder, signal, remoteUrl: url, credentials });

  await expect(failing).rejects.toThrow("saying: remote: … and …");
});

test.each([
  ["its own host over https", "protocol=https\nhost=git.example.org\n", true],
  ["its own host over http", "protocol=http\nhost=git.example.org\n", false],
  ["another host", "protocol=https\nhost=git.example.org.evil.test\n", false],
  ["another port", "protocol=https\nhost=git.example.org:8443\n", false],
  ["a host that hides behind a second one", "protocol=https\nhost=git.example.org\nhost=evil.test\n", false],
  ["nothing", "", false],
])("the helper, asked for %s, answers: %#", async (_what, question, isAnswered) => {
  const said = await askHelper("get", question);

  expect(said.includes(TOKEN)).toBe(isAnswered);
});

test("the helper keeps and forgets nothing", async () => {
  const question = `protocol=https\nhost=git.example.org\npassword=${TOKEN}\n`;

  expect(await askHelper("store", question)).toBe("");
  expect(await askHelper("erase", question)).toBe("");
});

test.each([
  "http://git.example.org/a.git",
  "ssh://git@git.example.org/a.git",
  "git@git.example.org:a.git",
  "https://git.example.org:8443/a.git",
  "https://evil.test/git.example.org",
  undefined,
])("git is given no token for %s", (url) => {
  const credentials = [{ host: "git.example.org", username: "robot", token: TOKEN }];

  expect(gitAccess(url, credentials)).toEqual({ settings: [], environment: {}, secrets: [] });
});

test("the token stands in no argument of git", () => {
  const credentials = [{ host: "git.example.org", username: "robot", token: TOKEN }];

  const { settings, environment } = gitAccess("https://GIT.example.org/a.git", credentials);

  expect(settings.join(" ")).not.toContain(TOKEN);
  expect(environment[HELPER_VARIABLES.token]).toBe(TOKEN);
});

test("a token of more than one line is none: it could answer for another host", () => {
  expect(["a", "a\nhost=b", "a\r", "a\0b", ""].map(isUsableToken)).toEqual([
    true,
    false,
    false,
    false,
    false,
  ]);
});

async function askHelper(action: string, question: string): Promise<string> {
  const program = fileURLToPath(new URL("credential-helper.ts", import.meta.url));
  const child = spawn(process.execPath, [program, action], {
    env: {
      [HELPER_VARIABLES.host]: "git.example.org",
      [HELPER_VARIABLES.username]: "robot",
      [HELPER_VARIABLES.token]: TOKEN,
    },
    stdio: ["pipe", "pipe", "inherit"],
  });
  child.stdin.end(question);
  const [said] = await Promise.all([text(child.stdout), once(child, "close")]);
  return said;
}

function filesWith(secret: string, folder: string): string[] {
  const names = readdirSync(folder, { recursive: true, withFileTypes: true });
  return names
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((file) => readFileSync(file, "latin1").includes(secret));
}
