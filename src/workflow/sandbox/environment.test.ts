import { expect, test } from "vitest";
import { listedEnvironment, splitEnvironment } from "./environment.ts";

test("only the variables that are listed and set are handed on", () => {
  const environment = { ANTHROPIC_API_KEY: "key", OTHER: "secret" };

  expect(listedEnvironment(["ANTHROPIC_API_KEY", "OPENAI_API_KEY"], environment)).toEqual({
    ANTHROPIC_API_KEY: "key",
  });
});

test.each([
  "ROBSON_TOKEN",
  "ROBSON_DATABASE_URL",
  "SSH_AUTH_SOCK",
  "DOCKER_HOST",
  "LD_PRELOAD",
  "HOME",
  "PATH",
  "a b",
  "X=Y",
  "",
])("%j cannot be listed", (name) => {
  expect(() => listedEnvironment([name], {})).toThrow(expect.objectContaining({ code: "CONFIG_INVALID" }));
});

test("what would have a program outside load code is set inside alone", () => {
  const environment = {
    PATH: "/usr/bin",
    LD_PRELOAD: "/x.so",
    BASH_ENV: "/x",
    "BASH_FUNC_read%%": "() { id; }",
    API_KEY: "k",
  };

  expect(splitEnvironment(environment)).toEqual({
    outside: { PATH: "/usr/bin", API_KEY: "k" },
    inside: { LD_PRELOAD: "/x.so", BASH_ENV: "/x", "BASH_FUNC_read%%": "() { id; }" },
  });
});
