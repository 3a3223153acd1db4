import { expect, test } from "vitest";
import { systemClock } from "./clock.ts";

/** Another fraction of a millisecond each time: where the clock's and the timers' lie apart, a timer is early. */
function passSomeOfIt(): void {
  const until = performance.now() + 0.37;
  while (performance.now() < until);
}

test("what is scheduled for an instant is not called before it", async () => {
  for (let count = 0; count < 500; count += 1) {
    passSomeOfIt();
    const at = systemClock.now() + 1;
    await new Promise<void>((resolve) => {
      systemClock.schedule(at, resolve);
    });
    expect(systemClock.now()).toBeGreaterThanOrEqual(at);
  }
});

test("what is cancelled is not called", async () => {
  const called: string[] = [];
  const cancel = systemClock.schedule(systemClock.now() + 1, () => called.push("cancelled"));
  cancel();
  await new Promise<void>((resolve) => {
    systemClock.schedule(systemClock.now() + 5, resolve);
  });
  expect(called).toEqual([]);
});
