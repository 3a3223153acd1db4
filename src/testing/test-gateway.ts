/**
 * What every gateway must do, ours or a stranger's, as named checks that any test runner can run. The gateway under
 * test talks to a double of its platform; a check makes both anew, and leaves nothing behind.
 */
import type { Gateway } from "../core/gateway.ts";
import type { Delivery } from "../core/message-event.ts";
import { deliveryChecks, troubleCheck } from "./gateway-checks/delivery.ts";
import { listeningChecks } from "./gateway-checks/listening.ts";
import { wholeChecks } from "./gateway-checks/whole.ts";
import { checkFunctions, checkLists, checkNames, checkWords } from "./test-options.ts";

/** The double of a platform, as a check sees it. */
export interface TestPlatform {
  /**
   * Someone writes. `id` is the platform's own id of the message: the same one again is the platform sending it
   * again. Resolves when the gateway has acknowledged it, rejects when it has refused it.
   */
  write?(message: { id: string; content: string }): Promise<void>;
  /** Where a delivery goes: the target and channel id that `send` is called with. */
  target?: string;
  /** What has arrived, in its order, with the delivery's id where the platform carries it. */
  arrived?(): Promise<{ content: string; deliveryId?: string | undefined }[]>;
  /** From now on deliveries are not answered. Resolves when one has come. */
  stall?(): Promise<void>;
  /** Ends the double, and its connections. */
  close(): Promise<void>;
}

/** What a platform may answer to a delivery, and what the gateway must make of it. */
export interface PlatformTrouble<Platform> {
  /** As a part of a sentence: `a 429 with Retry-After`. */
  name: string;
  retry: "later" | "never";
  retryAfterMs?: number;
  /** Brings the platform into it. */
  cause?(platform: Platform): Promise<void> | void;
  /** Where it lies in the delivery. */
  delivery?: Partial<Delivery>;
}

/** What a gateway and its platform may not have. */
export type GatewayPart = (typeof PARTS)[number];

const PARTS = [
  /** Messages come in. */
  "listening",
  /** The platform sees whether a message was taken. */
  "acknowledging",
  /** The platform's messages have ids. */
  "message ids",
  /** Events go out. */
  "sending",
  /** The platform shows a delivery's id. */
  "delivery ids",
  /** The platform can leave a delivery unanswered. */
  "stalling",
] as const;

export interface GatewaySuite<Platform extends TestPlatform> {
  createPlatform(): Promise<Platform>;
  troubles?: PlatformTrouble<Platform>[];
  /** The checks of these parts are left out. */
  without?: GatewayPart[];
  /** How long the gateway may take for any one thing. Default: 5 s. */
  maxWaitMs?: number;
}

/** One promise of the contract; `run` rejects when it is broken. */
export interface GatewayCheck {
  name: string;
  run(): Promise<void>;
}

/** The checks for one gateway: `for (const check of gatewayChecks(…)) test(check.name, check.run)`. */
export function gatewayChecks<Platform extends TestPlatform>(
  createGateway: (platform: Platform) => Gateway,
  suite: GatewaySuite<Platform>,
): GatewayCheck[] {
  checkSuite({ createGateway, ...suite });
  const { createPlatform, without = [], troubles = [], maxWaitMs = 5000 } = suite;
  const kit = { createGateway, createPlatform, maxWaitMs };
  const checks = [...wholeChecks(kit), ...listeningChecks(kit), ...deliveryChecks(kit)];
  const fitting = checks.filter(({ needs }) => !needs.some((part) => without.includes(part)));
  return [...fitting, ...troubles.map((trouble) => troubleCheck(kit, trouble))];
}

/** Throws `USAGE_INVALID`: a part that there is not would be left in, and its check fail for another reason. */
function checkSuite(suite: Record<string, unknown> & { without?: readonly string[] }): void {
  const helper = "testGateway";
  const known = ["createGateway", "createPlatform", "troubles", "without", "maxWaitMs"];
  checkNames(suite, { helper, known });
  checkFunctions(suite, { helper, functions: ["createGateway", "createPlatform"] });
  checkLists(suite, { helper, lists: ["troubles", "without"] });
  checkWords(suite.without ?? [], { helper: "without of testGateway", known: PARTS });
}

/** Registers the checks with a test runner: `testGateway(test, …)`. */
export function testGateway<Platform extends TestPlatform>(
  test: (name: string, run: () => Promise<void>) => unknown,
  gateway: GatewaySuite<Platform> & { createGateway: (platform: Platform) => Gateway },
): void {
  for (const { name, run } of gatewayChecks(gateway.createGateway, gateway)) test(name, run);
}
