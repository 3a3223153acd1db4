/** What a process looks at by itself: however slow the database is, its looks do not pile up. */
import { expect, test } from "vitest";
import { fakeGateway } from "../testing/fake-gateway.ts";
import { startInterferedLoop } from "../testing/interfered-loop.ts";

const MINUTE_MS = 60_000;

test("what waits for gateways that nobody runs is looked at by one look at a time", async (t) => {
  const looks: (() => void)[] = [];
  const { clock, loop } = await startInterferedLoop(t, {
    gateways: [fakeGateway()],
    interfere: () => ({
      expireUnregistered: () => new Promise((resolve) => looks.push(() => resolve([]))),
    }),
  });
  await clock.advance(10 * MINUTE_MS);
  expect(looks).toHaveLength(1);

  // What was due meanwhile is made up for, once.
  looks[0]?.();
  await expect.poll(() => looks.length).toBe(2);
  looks[1]?.();
  await loop.idle();
  expect(looks).toHaveLength(2);
  await clock.advance(MINUTE_MS);
  expect(looks).toHaveLength(3);
});
