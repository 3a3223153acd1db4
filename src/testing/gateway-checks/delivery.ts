/** The checks of the way out: arriving, being found, giving up, and what each trouble of the platform means. */
import assert from "node:assert/strict";
import { DeliveryError } from "../../core/errors.ts";
import { named as nameOf } from "../../core/named.ts";
import type { GatewayPart, PlatformTrouble, TestPlatform } from "../test-gateway.ts";
import { type CheckOf, check, type GatewayKit } from "./bench.ts";

const SENDING: GatewayPart[] = ["sending"];
const SENT_ID = "00000000-0000-4000-8000-000000000001";
const NOT_SENT_ID = "00000000-0000-4000-8000-000000000002";

function named(value: unknown): string {
  return typeof value === "boolean" ? String(value) : nameOf(value);
}

export function deliveryChecks<Platform extends TestPlatform>(kit: GatewayKit<Platform>): CheckOf[] {
  return [
    check(kit, {
      name: "a delivery arrives with its content",
      needs: SENDING,
      async on(bench) {
        await bench.send({ content: "hello ü 👩‍👩‍👧" });

        assert.deepEqual(
          (await bench.arrived()).map(({ content }) => content),
          ["hello ü 👩‍👩‍👧"],
        );
      },
    }),
    check(kit, {
      name: "each attempt at a delivery carries the same delivery id",
      needs: ["sending", "delivery ids"],
      async on(bench) {
        for (const attempt of [1, 2]) await bench.send({ attempt });

        const ids = (await bench.arrived()).map(({ deliveryId }) => deliveryId);
        assert.ok(ids.length > 0, "nothing arrived");
        assert.deepEqual([...new Set(ids)], [bench.delivery().id]);
      },
    }),
    check(kit, {
      name: "find, where there is one, tells what has arrived and what has not",
      needs: SENDING,
      async on(bench) {
        const { gateway } = bench;
        if (!gateway.find) return;
        const context = { signal: new AbortController().signal };
        const find = async (id: string) =>
          bench.within("end a find", Promise.resolve(gateway.find?.(bench.delivery({ id }), context)));

        await bench.send({ id: SENT_ID });

        const [sent, notSent] = [await find(SENT_ID), await find(NOT_SENT_ID)];
        assert.ok(sent === true, `find answered ${named(sent)} about a delivery that has arrived, not true`);
        assert.ok(
          notSent === false,
          `find answered ${named(notSent)} about one that was never sent, not false`,
        );
      },
    }),
    check(kit, {
      name: "a send whose signal was aborted before fails and delivers nothing",
      needs: SENDING,
      async on(bench) {
        await bench.failureOf({ signal: AbortSignal.abort() });

        assert.deepEqual(await bench.arrived(), []);
      },
    }),
    check(kit, {
      name: "a send that the platform does not answer fails when its signal is aborted",
      needs: ["sending", "stalling"],
      async on(bench) {
        const controller = new AbortController();
        const reached = bench.stall();

        await bench.failureOf({
          signal: controller.signal,
          async during() {
            await bench.within("reach the platform", reached);
            controller.abort(new Error("The attempt is over"));
          },
        });
      },
    }),
  ];
}

/** A delivery that meets a trouble fails with a `DeliveryError` that says what the trouble means. */
export function troubleCheck<Platform extends TestPlatform>(
  kit: GatewayKit<Platform>,
  trouble: PlatformTrouble<Platform>,
): CheckOf {
  const { name, retry, retryAfterMs, cause, delivery } = trouble;
  return check(kit, {
    name: `${name} means: ${retry === "later" ? "try again later" : "never try again"}`,
    needs: SENDING,
    async on(bench) {
      await cause?.(bench.platform);

      const error = await bench.failureOf({ delivery });

      assert.ok(error instanceof DeliveryError, `send threw ${String(error)}, no DeliveryError`);
      assert.equal(error.retry, retry);
      assert.equal(error.retryAfterMs, retryAfterMs);
    },
  });
}
