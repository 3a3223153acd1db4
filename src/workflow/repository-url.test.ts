import { expect, test } from "vitest";
import { RobsonError } from "../core/errors.ts";
import { checkRepositoryUrl, withoutCredentials } from "./repository-url.ts";

test.each([
  "https://example.com/team/project.git",
  "https://example.com:8443/team/project",
  "ssh://git@example.com/team/project.git",
  "git@example.com:team/project.git",
])("%s is taken as it is", (url) => {
  expect(checkRepositoryUrl(` ${url}\n`, { allowFileUrls: false })).toBe(url);
});

test.each([
  "",
  "-upload-pack=touch pwned",
  "--upload-pack=x",
  "https://user:secret@example.com/a.git",
  "https://token@example.com/a.git",
  "ssh://git:secret@example.com/a.git",
  "ssh://-oProxyCommand=x/a",
  "git@example.com:-x/a",
  "git@-oProxyCommand=x:a",
  "https://example.com/-x",
  "ssh://git@%2doProxyCommand=x/a",
  "ssh://git@127%2e0.0.1/a",
  "https://127.0.0.1:9/a.git",
  "git@localhost:a.git",
  "https://example.com/",
  "http://example.com/a.git",
  "ext::sh -c whoami",
  "ext::sh",
  "git://example.com/a.git",
  "example.com:team/a.git",
  "https://example.com/a.git?x=1",
  "https://example.com/a.git#main",
  "data:text/plain,x",
  "C:\\\\repositories\\\\a",
  "https:///a.git",
  "not a url",
  "https://example.com/a\0b",
  "https://example.com/a\nb",
  "file:///srv/a.git",
  "/srv/a.git",
  `https://example.com/${"a".repeat(3000)}`,
])("%j is refused", (url) => {
  expect(() => checkRepositoryUrl(url, { allowFileUrls: false })).toThrow(
    expect.objectContaining({ code: "REPOSITORY_INVALID", hint: expect.any(String) }),
  );
});

test("a repository of this machine is taken where that is allowed, a path as its URL", () => {
  expect(checkRepositoryUrl("file:///srv/a.git", { allowFileUrls: true })).toBe("file:///srv/a.git");
  expect(checkRepositoryUrl("/srv/my project.git", { allowFileUrls: true })).toBe(
    "file:///srv/my%20project.git",
  );
  expect(() => checkRepositoryUrl("file://host/a.git", { allowFileUrls: true })).toThrow("names a host");
});

test("no error shows the credentials that it met", () => {
  for (const url of ["https://user:hunter2@example.com/a.git", "ftp://user:hunter2@example.com/a.git"]) {
    expect(() => checkRepositoryUrl(url, { allowFileUrls: false })).toThrow(
      expect.not.objectContaining({ message: expect.stringContaining("hunter2") }),
    );
  }
});

test("credentials disappear from any text", () => {
  expect(withoutCredentials("fatal: https://u:p@h/x and https://t@h/y, mail a@b")).toBe(
    "fatal: https://h/x and https://h/y, mail a@b",
  );
});

test("what is refused names the setting or the notation that would help", () => {
  const hintOf = (url: string, allowFileUrls = false) => {
    try {
      return checkRepositoryUrl(url, { allowFileUrls });
    } catch (error) {
      return error instanceof RobsonError ? error.hint : undefined;
    }
  };

  expect(hintOf("/srv/a.git")).toContain("workflow.allow_file_repositories = true");
  expect(hintOf("./repo.git")).toContain("absolute path");
  expect(hintOf("../repo", true)).toContain("absolute path");
  expect(hintOf("example.com:team/a.git")).toBe("Write git@example.com:team/a.git");
  expect(hintOf("https://u:p@example.com/a.git")).toContain("[[git_credentials]]");
  expect(hintOf("https://u:p@example.com/a.git")).toContain(
    "by ssh, with the key of the user that runs Robson",
  );
});
