import { expect, test } from "vitest";
import { LazySignal, onAbort } from "./lazy-signal.ts";

test("a signal that is asked for before its end is aborted then, with the first reason", () => {
  const lazy = new LazySignal();
  const { signal } = lazy;
  expect(signal.aborted).toBe(false);

  lazy.abort("first");
  lazy.abort("second");

  expect(signal).toMatchObject({ aborted: true, reason: "first" });
  expect(lazy.signal).toBe(signal);
});

test("a signal that is asked for after its end is aborted from the start", () => {
  const lazy = new LazySignal();
  lazy.abort("over");

  expect(lazy.signal).toMatchObject({ aborted: true, reason: "over" });
});

test("whoever listens hears of an abort once, unless he took it back, and at once when it is late", () => {
  const controller = new AbortController();
  const heard: unknown[] = [];
  onAbort(controller.signal, (reason) => heard.push(["one", reason]));
  onAbort(controller.signal, (reason) => heard.push(["two", reason]))();
  onAbort(controller.signal, (reason) => heard.push(["three", reason]));

  controller.abort("now");
  onAbort(controller.signal, (reason) => heard.push(["late", reason]));

  expect(heard).toEqual([
    ["one", "now"],
    ["three", "now"],
    ["late", "now"],
  ]);
});
