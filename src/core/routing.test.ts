import { describe, expect, test } from "vitest";
import { aWorker } from "../testing/builders.ts";
import { fakeGateway } from "../testing/fake-gateway.ts";
import { startTestLoop } from "../testing/start-test-loop.ts";
import { isHelp, Routing } from "./routing.ts";
import type { Worker } from "./worker.ts";

const nothing = async () => undefined;

function routingOf(...workers: Partial<Worker>[]): Routing {
  const routing = new Routing();
  workers.forEach((more, index) => void routing.register(aWorker(nothing, { name: `w${index}`, ...more })));
  return routing;
}

function names(routing: Routing, content: string): string[] {
  return routing.match(content).map(({ worker }) => worker.name);
}

describe("registration", () => {
  test.each(["(", "(?=x)y", "(a)\\1", "[z-a]"])(
    "a pattern that RE2 does not take is refused by name: %s",
    (pattern) => {
      expect(() => routingOf({ pattern })).toThrow(pattern);
      expect(() => routingOf({ pattern })).toThrow(/does not compile/);
    },
  );

  test.each([".", "help", "^/(help|x)", "(?i)/HELP$", "<@U1234>", /h.lp/i])(
    "a pattern that matches /help is refused: %s",
    (pattern) => {
      expect(() => routingOf({ pattern })).toThrow(/reserved command \/help/);
    },
  );

  test.each(["/help", "/HELP", "/help me"])("the command %s is refused", (command) => {
    expect(() => routingOf({ command })).toThrow(/reserved command \/help/);
  });

  test("a pattern or command that is taken is refused, and names the worker that has it", () => {
    expect(() => routingOf({ pattern: "^go" }, { pattern: "^go" })).toThrow(
      /\^go is registered already, by worker "w0"/,
    );
    expect(() => routingOf({ command: "/do it" }, { command: "/DO  it" })).toThrow(/by worker "w0"/);
  });

  test("two workers of one name are refused", () => {
    expect(() => routingOf({ name: "a", pattern: "x1" }, { name: "a", pattern: "x2" })).toThrow(
      /"a" is registered already/,
    );
  });

  test.each(["review", "/", "//x", ""])("a command without a slash and a word is refused: %j", (command) => {
    expect(() => routingOf({ command })).toThrow(/does not start with a slash and a word/);
  });
});

describe("matching", () => {
  test("the first pattern in the order of registration is asked first", () => {
    const routing = routingOf({ pattern: "deploy" }, { pattern: "^deploy now" }, { pattern: "later" });
    expect(names(routing, "deploy now")).toEqual(["w0", "w1"]);
  });

  test("patterns that are anchored and others keep their order, and only what is anchored has to stand first", () => {
    const routing = routingOf(
      { pattern: "^go|later" },
      { pattern: "now" },
      { pattern: "^go" },
      { pattern: "(?m)^x" },
    );
    expect(names(routing, "go now")).toEqual(["w0", "w1", "w2"]);
    expect(names(routing, "we go later")).toEqual(["w0"]);
    expect(names(routing, "we go\nxx")).toEqual(["w3"]);
  });

  test("a pattern is searched anywhere in the raw content, the mention included", () => {
    const routing = routingOf({ pattern: "fix [A-Z]+-\\d+" }, { pattern: "^<@U1>" });
    expect(names(routing, "please fix AB-12 today")).toEqual(["w0"]);
    expect(names(routing, "<@U1> hi")).toEqual(["w1"]);
  });

  test.each([
    ["/task create key=A-1", "key=A-1"],
    ["<@U1> /task create key=A-1", "key=A-1"],
    ["<@U1>/TASK   Create\nkey=A-1", "key=A-1"],
    ["/task create", ""],
  ])("a command is recognised at the start, after an optional mention: %j", (content, text) => {
    const routing = routingOf({ command: "/task create" });
    expect(routing.match(content)).toMatchObject([{ text }]);
  });

  test.each([
    "see the log:\n/task create key=A-1",
    "> /task create key=A-1",
    "`/task create`",
    "/task creates",
    "/tasks create",
    "task create",
    "hey <@U1> /task create",
  ])("a command in quoted or later text is not one: %j", (content) => {
    expect(names(routingOf({ command: "/task create" }), content)).toEqual([]);
  });

  test("the longer command is meant before the shorter one, whatever their order", () => {
    const routing = routingOf({ command: "/task" }, { command: "/task create" });
    expect(names(routing, "/task create x")).toEqual(["w1", "w0"]);
    expect(names(routing, "/task list")).toEqual(["w0"]);
  });

  test("the fallback worker is asked last, whatever the order of registration", () => {
    const routing = routingOf({}, { pattern: "go" }, { command: "/go" });
    expect(names(routing, "/go")).toEqual(["w2", "w1", "w0"]);
    expect(names(routing, "what?")).toEqual(["w0"]);
  });

  test("a pattern that would take other engines for ever is matched in linear time", () => {
    const routing = routingOf({ pattern: "(a+)+$" });
    expect(names(routing, `${"a".repeat(100_000)}!`)).toEqual([]);
  });
});

describe("help", () => {
  test.each(["/help", " /HELP ", "<@U1> /help", "<@U1>/help", "/help\n"])("%j asks for help", (content) => {
    expect(isHelp(content)).toBe(true);
  });

  test.each(['/task create summary="add /help route"', "/helpme", "please /help", "help"])(
    "%j does not",
    (content) => {
      expect(isHelp(content)).toBe(false);
    },
  );

  test("/help is answered by the loop, with a line for each worker in the order of registration", async (t) => {
    const gateway = fakeGateway();
    const workers = [
      aWorker(nothing, { name: "b", example: "/b now", description: "Does b", command: "/b" }),
      aWorker(nothing, { name: "a", example: "/a 1", description: "Does a", command: "/a" }),
    ];
    const { idle } = await startTestLoop(t, { gateways: [gateway], workers });

    await gateway.say("<@U9> /help");
    await idle();

    expect(gateway.texts()).toEqual([
      "completed: :book: *Robson — Available Commands*\n\n/b now — Does b\n/a 1 — Does a",
    ]);
  });
});

describe("passing on", () => {
  test("a worker that answers false passes the message on to the next that matches", async (t) => {
    const gateway = fakeGateway();
    const workers = [
      aWorker(async () => false, { name: "first", pattern: "go" }),
      aWorker(async (_m, _a, { emit }) => emit("completed", "second did it"), {
        name: "second",
        pattern: "^go",
      }),
      aWorker(async (_m, _a, { emit }) => emit("completed", "fallback"), { name: "third" }),
    ];
    const { idle } = await startTestLoop(t, { gateways: [gateway], workers });

    await gateway.say("go");
    await idle();

    expect(gateway.texts()).toEqual(["completed: second did it"]);
  });

  test("what nobody takes is answered when the bot was addressed, and left alone when it was not", async (t) => {
    const gateway = fakeGateway();
    const { idle } = await startTestLoop(t, { gateways: [gateway], workers: [aWorker(async () => false)] });

    await gateway.say("good morning all", { isAddressed: false });
    await gateway.say("good morning, bot", { isAddressed: true });
    await idle();

    expect(gateway.texts()).toEqual([expect.stringMatching(/^completed: .*\/help/)]);
  });
});
