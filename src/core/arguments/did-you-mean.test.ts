import { expect, test } from "vitest";
import { didYouMean } from "./did-you-mean.ts";

const COMMANDS = ["/help", "/task list", "/task create", "/run-task", "/review", "/do"];

test.each([
  ["/reveiw 42", "/review"],
  ["/REVIW", "/review"],
  ["<@U1> /revieww 42", "/review"],
  ["/review@robson_bot", undefined],
  ["/reviw@robson_bot 42", "/review"],
  ["/run_task A-1", "/run-task"],
  ["/rev 42", "/review"],
  ["/hepl", "/help"],
  ["/task crate key=A-1", "/task create"],
  ["/task lsit", "/task list"],
  ["/taks list", "/task list"],
  ["/task", "/task list"],
  ["review 42", "/review"],
  ["<@U1> reveiw 42", "/review"],
  ["help", "/help"],
  ["do it", "/do"],
])("%j means %s", (content, meant) => {
  expect(didYouMean(content, COMMANDS)).toBe(meant);
});

test.each([
  "",
  "/",
  "/x",
  "/deploy now",
  "hello there",
  "dog",
  "revise this",
  "/review 42",
  "<@U1>",
  "/1",
  "x".repeat(1_000_000),
])("nothing is meant by what is like no command, or is one", (content) => {
  expect(didYouMean(content, COMMANDS)).toBeUndefined();
  expect(didYouMean(content, [])).toBeUndefined();
});
