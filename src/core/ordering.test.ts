import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { aWorker } from "../testing/builders.ts";
import { databaseKinds } from "../testing/databases.ts";
import { fakeGateway } from "../testing/fake-gateway.ts";
import { startTestLoop } from "../testing/start-test-loop.ts";
import { DeliveryError } from "./errors.ts";
import { toStorable } from "./text.ts";

const MINUTE_MS = 60_000;

/** Says `started` and `completed` for each message, so that a thread has more events than messages. */
const reporter = aWorker(async ({ content }, _args, { emit }) => {
  await emit("started", content);
  await emit("completed", content);
});

/** A thread, and how often the sends of this message's events fail before they succeed. */
const aPost = fc.record({ thread: fc.integer({ min: 0, max: 3 }), failures: fc.integer({ min: 0, max: 2 }) });

describe.each(databaseKinds)("on $name", ({ name, create }) => {
  const numRuns = name === "sqlite" ? 40 : 12;

  test("each thread's events arrive in order and once, whatever fails; a thread that is stuck holds up none", async (t) => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(aPost, { minLength: 1, maxLength: 12 }),
        fc.integer({ min: 0, max: 3 }),
        async (posts, stuck) => {
          const failed = new Map<string, number>();
          const gateway = fakeGateway({
            onSend: async ({ content, threadTs }) => {
              const count = failed.get(content) ?? 0;
              failed.set(content, count + 1);
              const failures = posts[Number(content)]?.failures ?? 0;
              if (threadTs === `T${stuck}` || count < failures)
                throw new DeliveryError("no", { retry: "later" });
            },
          });
          const options = { location: await create(t), gateways: [gateway], workers: [reporter] };
          const { idle, clock, stop } = await startTestLoop(t, {
            ...options,
            limits: { maxBackoffMs: MINUTE_MS },
          });

          await Promise.all(
            posts.map(({ thread }, index) => gateway.say(String(index), { threadTs: `T${thread}` })),
          );
          await idle();
          // One attempt of each lane at least with every minute.
          for (let round = 0; round < posts.length * 4; round += 1) {
            await clock.advance(MINUTE_MS);
            await idle();
          }
          await stop();

          for (const thread of [0, 1, 2, 3]) {
            const arrived = gateway.sent
              .filter(({ threadTs }) => threadTs === `T${thread}`)
              .map(({ eventKind, content }) => `${eventKind} ${content}`);
            const expected = posts.flatMap((post, index) =>
              post.thread === thread && thread !== stuck ? [`started ${index}`, `completed ${index}`] : [],
            );
            expect(arrived).toEqual(expected);
          }
        },
      ),
      { numRuns },
    );
  }, 120_000);

  test("any text comes through, or what cannot be stored of it is replaced, and no neighbour suffers", async (t) => {
    const gateway = fakeGateway();
    const { idle } = await startTestLoop(t, {
      location: await create(t),
      gateways: [gateway],
      workers: [reporter],
    });
    const anyText = fc.string({
      unit: fc.integer({ min: 0, max: 0xffff }).map((unit) => String.fromCharCode(unit)),
    });
    const aMessage = fc.record({
      content: anyText.filter((text) => text.trim() !== ""),
      channelId: anyText,
      userId: anyText,
      threadTs: anyText,
      idempotencyKey: fc.uuid(),
    });

    for (const content of ["", " \n\t"])
      await expect(gateway.say(content)).rejects.toMatchObject({ code: "MESSAGE_INVALID" });
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(aMessage, { minLength: 1, maxLength: 20 }), async (messages) => {
        gateway.sent.length = 0;
        await Promise.all(messages.map(({ content, ...more }) => gateway.say(content, more)));
        await idle();

        const arrived = gateway.sent.filter(({ eventKind }) => eventKind === "completed");
        const texts = arrived.map(({ content, channelId, userId, threadTs = "" }) => [
          content,
          channelId,
          userId,
          threadTs,
        ]);
        const expected = messages.map(({ content, channelId, userId, threadTs }) =>
          [content, channelId, userId, threadTs].map(toStorable),
        );
        expect(texts.map(String).toSorted()).toEqual(expected.map(String).toSorted());
      }),
      { numRuns },
    );
  }, 120_000);
});
