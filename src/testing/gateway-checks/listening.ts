/** The checks of the way in: listening, handing over, acknowledging. */
import assert from "node:assert/strict";
import { RobsonError } from "../../core/errors.ts";
import type { Accepted } from "../../core/gateway.ts";
import { DEFAULT_LIMITS } from "../../core/limits.ts";
import { silentLogger } from "../../core/logger.ts";
import type { InboundMessage } from "../../core/message-event.ts";
import { toNewMessage } from "../../core/new-message.ts";
import type { TestPlatform } from "../test-gateway.ts";
import { type Bench, type CheckOf, check, type GatewayKit, turns } from "./bench.ts";

const ACCEPTED: Accepted = { conversationId: 1, isDuplicate: false };

export function listeningChecks<Platform extends TestPlatform>(kit: GatewayKit<Platform>): CheckOf[] {
  return [
    check(kit, {
      name: "start resolves when its signal is aborted",
      needs: [],
      async on(bench) {
        const { stop } = bench.listen(async () => ACCEPTED);
        await turns();

        await stop();
      },
    }),
    check(kit, {
      name: "start resolves at once when its signal was aborted before",
      needs: [],
      async on(bench) {
        const context = { accept: async () => ACCEPTED, signal: AbortSignal.abort(), log: silentLogger };

        await bench.within("resolve its start()", bench.gateway.start(context));
      },
    }),
    check(kit, { name: "start listens until its signal is aborted, and not less", needs: [], on: listening }),
    check(kit, {
      name: "a message is handed over as it was written",
      needs: ["listening"],
      async on(bench) {
        const accepted = listenTo(bench);

        await bench.write({ id: "m1", content: "hello ü 👩‍👩‍👧" });

        const [message] = accepted;
        assert.ok(message, "accept was not called");
        assert.equal(message.content, "hello ü 👩‍👩‍👧");
        // Throws for what cannot be stored.
        toNewMessage({ gateway: bench.gateway.name, inbound: message, limits: DEFAULT_LIMITS, now: 0 });
      },
    }),
    check(kit, { name: "a message is acknowledged only after accept has resolved", ...acknowledging() }),
    check(kit, {
      name: "a message that could not be stored is not acknowledged, and comes again",
      ...refusing(),
    }),
    check(kit, { name: "a message that comes again has the same idempotency key", ...repeating() }),
  ];
}

/** Not by `bench.listen`, which starts again what has ended, as a loop does after a while. */
async function listening<Platform extends TestPlatform>(bench: Bench<Platform>): Promise<void> {
  const controller = new AbortController();
  const { signal } = controller;
  let hasEnded = false;
  const started = bench.gateway.start({ accept: async () => ACCEPTED, signal, log: silentLogger });
  const ended = Promise.resolve(started).finally(() => {
    hasEnded = true;
  });
  ended.catch(() => undefined);
  bench.onTestFinished(async () => {
    controller.abort(new Error("The check is over"));
    await bench.within("resolve its start() after the signal was aborted", ended).catch(() => undefined);
  });

  await turns();
  if (bench.platform.write && !hasEnded) await bench.write({ id: "m1", content: "hello" });
  await turns();

  if (hasEnded) await ended; // rejects with the reason, where it has one
  assert.equal(
    hasEnded,
    false,
    "start() resolved although its signal is not aborted: nobody listens any more",
  );
}

/** Listens, and keeps what is handed over. */
function listenTo<Platform extends TestPlatform>(bench: Bench<Platform>): InboundMessage[] {
  const accepted: InboundMessage[] = [];
  bench.listen(async (message) => {
    accepted.push(message);
    return ACCEPTED;
  });
  return accepted;
}

function acknowledging<Platform extends TestPlatform>() {
  return {
    needs: ["listening" as const, "acknowledging" as const],
    async on(bench: Bench<Platform>) {
      const called = Promise.withResolvers<void>();
      const stored = Promise.withResolvers<Accepted>();
      bench.listen(() => {
        called.resolve();
        return stored.promise;
      });
      let isAcknowledged = false;

      const written = bench.write({ id: "m1", content: "hello" }).then(() => {
        isAcknowledged = true;
      });
      written.catch(() => undefined); // the check may be over before
      await bench.within("call accept", called.promise);
      await turns();

      assert.equal(isAcknowledged, false, "it was acknowledged while accept was still under way");
      stored.resolve(ACCEPTED);
      await written;
    },
  };
}

function refusing<Platform extends TestPlatform>() {
  return {
    needs: ["listening" as const, "acknowledging" as const],
    async on(bench: Bench<Platform>) {
      let [calls, stored] = [0, 0];
      bench.listen(async () => {
        calls += 1;
        if (calls === 1) throw new RobsonError("STORE_UNAVAILABLE", "The database is away");
        stored += 1;
        return ACCEPTED;
      });

      await bench.write({ id: "m1", content: "hello" });

      assert.equal(stored, 1, "it was acknowledged although it was not stored");
    },
  };
}

function repeating<Platform extends TestPlatform>() {
  return {
    needs: ["listening" as const, "message ids" as const],
    async on(bench: Bench<Platform>) {
      const accepted = listenTo(bench);

      for (const id of ["m1", "m1", "m2"]) await bench.write({ id, content: "hello" });

      const [first, again, other] = accepted.map(({ idempotencyKey }) => idempotencyKey);
      assert.notEqual(first, undefined, "the message has no idempotency key");
      assert.equal(again, first, "the same message came with another idempotency key");
      assert.notEqual(other, first, "two messages have one idempotency key");
    },
  };
}
