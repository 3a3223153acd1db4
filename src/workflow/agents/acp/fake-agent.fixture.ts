/**
 * An agent that speaks the real protocol, by the agent's side of the SDK, and plays a scene: that of its first argument,
 * or the one that a check has put into its home. It keeps its sessions, with what they cost, in its home.
 */
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Readable, Writable } from "node:stream";
import {
  type AgentContext,
  agent,
  methods,
  ndJsonStream,
  type PromptResponse,
  RequestError,
  type RequestPermissionRequest,
  type SessionUpdate,
} from "@agentclientprotocol/sdk";
import { sceneOf } from "../../../testing/recorded-program.fixture.ts";

const home = process.env.HOME ?? "";
const scene: string = process.argv[2] ?? sceneOf(home);
const sessions = join(home, "sessions");
const cancelled = Promise.withResolvers<void>();
let isResumed = false;
let isLoggedIn = false;
let mode = "ask";

interface Play {
  sessionId: string;
  client: AgentContext;
  tell(update: SessionUpdate): Promise<void>;
}

const END: PromptResponse = { stopReason: "end_turn" };
const COST_OF_A_TURN = 0.02;

const SCENES: Record<string, (play: Play) => Promise<PromptResponse>> = {
  edits: (play) => edit(play, "edited.txt"),
  "goes on": (play) => edit(play, isResumed ? "second.txt" : "first.txt"),
  spends: async (play) => {
    let isStopped = false;
    void cancelled.promise.then(() => {
      isStopped = true;
    });
    while (!isStopped) {
      await edit(play, "edited.txt");
      await new Promise((resolve) => setImmediate(resolve));
    }
    return { stopReason: "cancelled" };
  },
  "spends on": async (play) => {
    await edit(play, "edited.txt");
    return await forever();
  },
  "is refused": async (play) => {
    await ask(play, { kind: "edit", title: "Write", locations: [{ path: join(home, "../elsewhere") }] });
    await say(play, "I may not write there.");
    return END;
  },
  "gives up": async (play) => {
    await say(play, "I cannot do that.");
    return { stopReason: "refusal" };
  },
  waits: async (play) => {
    await play.tell({ sessionUpdate: "notice", severity: "warning", title: "Retrying, attempt 1 of 10" });
    return await edit(play, "edited.txt");
  },
  "is overloaded": async (play) => {
    await play.tell({ sessionUpdate: "notice", severity: "warning", title: "Retrying, attempt 10 of 10" });
    throw RequestError.internalError(undefined, "API Error: 529 Overloaded");
  },
  "is unauthorized": () => {
    throw RequestError.internalError({ details: "401 invalid x-api-key" });
  },
  hangs: async (play) => {
    process.on("SIGINT", () => undefined);
    if (isResumed) return await edit(play, "second.txt");
    writeFileSync("first.txt", "");
    await play.tell(toolCall("1", { title: "Terminal", kind: "execute", rawInput: { command: "wait" } }));
    return await forever();
  },
  floods: async (play) => {
    for (;;) await say(play, "x".repeat(1000));
  },
  "leaves a program": async (play) => {
    const left = "touch left.txt; exec sleep 1000";
    spawn("sh", ["-c", left], { detached: true, stdio: "ignore" }).unref();
    while (!existsSync("left.txt")) await new Promise((resolve) => setImmediate(resolve));
    return await edit(play, "edited.txt");
  },
  dies: async (play) => {
    await say(play, "I begin.");
    process.exit(0);
  },
  "speaks garbage too": async (play) => {
    process.stdout.write('warning: x\n{"jsonrpc":"2.0","id":99,"result":{}}\n{"a":\n[1]\n');
    process.stdout.write('{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":7}}\n');
    return await edit(play, "edited.txt");
  },
  "asks for a command": async (play) => {
    const answer = await ask(play, { kind: "execute", title: "npm test", rawInput: { command: "npm test" } });
    await say(play, `Answer: ${answer}`);
    return END;
  },
  "ends in nonsense": async () => ({}) as PromptResponse,
  "asks without end": async (play) => {
    let answer = "once";
    while (answer === "once") answer = await ask(play, { kind: "execute", title: "npm test" });
    return END;
  },
  "edits and asks": async (play) => {
    await edit(play, "edited.txt");
    await ask(play, { kind: "execute", title: "npm publish" });
    return END;
  },
  "asks for files": async (play) => {
    const { sessionId } = play;
    const read = play.client.request(methods.client.fs.readTextFile, { sessionId, path: "/etc/hostname" });
    const error = await read.then(
      () => undefined,
      (reason: unknown) => reason,
    );
    await say(play, error instanceof RequestError ? `Refused: ${error.code}` : "It was read");
    return END;
  },
  "is cancelled": async (play) => {
    process.on("SIGINT", () => undefined);
    await play.tell(toolCall("1", { title: "Terminal", kind: "execute", rawInput: { command: "wait" } }));
    await cancelled.promise;
    writeFileSync("cancelled.txt", "");
    return { stopReason: "cancelled" };
  },
  "tells its mode": async (play) => {
    await say(play, mode);
    return END;
  },
  "waits on its stderr": async () => {
    process.stderr.write("Attempt 1 failed with status 529. Retrying with backoff...\n");
    return await forever();
  },
};

if (scene === "never answers") await forever();
else if (scene === "speaks garbage") {
  process.stdout.write("Welcome! What do you want to build today?\n");
  await forever();
} else {
  serve();
}

function serve(): void {
  agent({ name: "fake" })
    .onRequest(methods.agent.initialize, () => ({
      protocolVersion: scene === "speaks another version" ? 7 : 1,
      agentCapabilities: { loadSession: scene !== "keeps no sessions" },
      authMethods: [{ id: "fake-key", name: "A key" }],
    }))
    .onRequest(methods.agent.authenticate, ({ params }) => {
      isLoggedIn = params.methodId === "fake-key";
      return {};
    })
    .onRequest(methods.agent.session.new, () => {
      if (scene === "wants a log-in" && !isLoggedIn) throw RequestError.authRequired();
      if (scene === "answers nonsense") return { sessionId: 7 as unknown as string };
      if (scene === "answers at length") return { sessionId: "x".repeat(5000) };
      const sessionId = randomUUID();
      keep(sessionId, 0);
      return { sessionId, ...MODES };
    })
    .onRequest(methods.agent.session.load, async ({ params: { sessionId }, client }) => {
      if (!existsSync(join(sessions, sessionId))) throw RequestError.sessionNotFound(sessionId);
      isResumed = true;
      await say({ tell: teller(client, sessionId) }, "What was said before.");
      return MODES;
    })
    .onRequest(methods.agent.session.setMode, ({ params }) => {
      mode = params.modeId;
      return {};
    })
    .onNotification(methods.agent.session.cancel, () => cancelled.resolve())
    .onRequest(methods.agent.session.prompt, async ({ params: { sessionId }, client }) => {
      const play = SCENES[scene] ?? SCENES.edits;
      return (await play?.({ sessionId, client, tell: teller(client, sessionId) })) ?? END;
    })
    .connect(
      ndJsonStream(
        Writable.toWeb(process.stdout),
        Readable.toWeb(process.stdin) as ReadableStream<Uint8Array>,
      ),
    );
}

const MODES = {
  modes: {
    currentModeId: "ask",
    availableModes: [
      { id: "ask", name: "Ask" },
      { id: "auto", name: "Auto" },
    ],
  },
};

function teller(client: AgentContext, sessionId: string): Play["tell"] {
  return (update) => client.notify(methods.client.session.update, { sessionId, update });
}

/** Says it in two pieces, as models do. */
async function say({ tell }: Pick<Play, "tell">, text: string): Promise<void> {
  for (const piece of [text.slice(0, 3), text.slice(3)]) {
    await tell({ sessionUpdate: "agent_message_chunk", content: { type: "text", text: piece } });
  }
}

/** Writes the file, as an agent tells of it, and ends well. */
async function edit(play: Play, file: string): Promise<PromptResponse> {
  const path = join(process.cwd(), file);
  await play.tell(toolCall("1", { title: "Preparing file…", kind: "edit" }));
  writeFileSync(path, "");
  const content = [{ type: "diff" as const, path, newText: "" }];
  const told = { toolCallId: "1", title: `Write ${file}`, rawInput: { file_path: path }, content };
  await play.tell({ sessionUpdate: "tool_call_update", ...told });
  await play.tell({ sessionUpdate: "tool_call_update", toolCallId: "1", status: "completed" });
  await say(play, `I wrote ${file}.`);
  const amount = keep(play.sessionId, COST_OF_A_TURN);
  await play.tell({ sessionUpdate: "usage_update", used: 1, size: 2, cost: { amount, currency: "USD" } });
  const usage = { inputTokens: 100, outputTokens: 10, totalTokens: 110 };
  return { stopReason: "end_turn", ...{ usage } };
}

/** Asks for leave; returns the option that was chosen. */
async function ask(
  { client, sessionId }: Play,
  call: Partial<RequestPermissionRequest["toolCall"]>,
): Promise<string> {
  const { outcome } = await client.request(methods.client.session.requestPermission, {
    sessionId,
    toolCall: { toolCallId: "asked", status: "pending", ...call },
    options: [
      { optionId: "always", name: "Always", kind: "allow_always" },
      { optionId: "once", name: "Once", kind: "allow_once" },
      { optionId: "no", name: "No", kind: "reject_once" },
    ],
  });
  return outcome.outcome === "selected" ? outcome.optionId : outcome.outcome;
}

function toolCall(
  toolCallId: string,
  fields: { title: string; kind: "edit" | "execute"; rawInput?: unknown },
): SessionUpdate {
  return { sessionUpdate: "tool_call", toolCallId, status: "pending", rawInput: {}, ...fields };
}

/** Adds to what the session has cost; returns all that it has. */
function keep(sessionId: string, cost: number): number {
  mkdirSync(sessions, { recursive: true });
  const file = join(sessions, sessionId);
  const total = (existsSync(file) ? Number(readFileSync(file, "utf8")) : 0) + cost;
  writeFileSync(file, String(total));
  return total;
}

function forever(): Promise<never> {
  setInterval(() => undefined, 60_000);
  return new Promise(() => undefined);
}
