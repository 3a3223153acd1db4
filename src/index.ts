/** What `robson` exports. */
export { formatCommand } from "./core/arguments/format-command.ts";
export type { StandardSchema } from "./core/arguments/standard-schema.ts";
export { type Clock, systemClock } from "./core/clock.ts";
export type { LoopControl, OpenMessage } from "./core/control.ts";
export {
  type AttemptErrorOptions,
  DeliveryError,
  ERROR_CODES,
  type ErrorCode,
  type Retry,
  RobsonError,
  TryLaterError,
  WorkerError,
} from "./core/errors.ts";
export {
  type Accepted,
  defineGateway,
  type Gateway,
  type GatewayContext,
  type SendReceipt,
} from "./core/gateway.ts";
export type { HookCallback, HookPoint, Hooks } from "./core/hooks.ts";
export { DEFAULT_LIMITS, type Limits } from "./core/limits.ts";
export type { Logger } from "./core/logger.ts";
export type { Delivery, InboundMessage, MessageEvent, ReceivedMessage } from "./core/message-event.ts";
export { type KeyValues, parseKv } from "./core/parse-kv.ts";
export { definePlugin, type Plugin, PluginConfigError, type PluginHost } from "./core/plugin.ts";
export type { EventKind, ProcessEvent } from "./core/process-event.ts";
export {
  type Answer,
  type Effect,
  type Json,
  type Question,
  type RunContext,
  type RunRules,
  type StepContext,
  Suspended,
} from "./core/run.ts";
export type { RunDetails, RunRecord, RunRecords, RunStatus } from "./core/run-store.ts";
export { type LoopHealth, SensoriumLoop, type SensoriumLoopOptions } from "./core/sensorium-loop.ts";
export type { DeadLetter, EventRecord, Ownership, Status, Store, StoredMessage } from "./core/store.ts";
export {
  type Asker,
  defineWorker,
  type TypedWorker,
  type Worker,
  type WorkerContext,
} from "./core/worker.ts";
export { markdownToMrkdwn } from "./gateways/slack/mrkdwn.ts";
export { type WebhookGateway, type WebhookOptions, webhook } from "./gateways/webhook/index.ts";
export { type RunningServer, type ServerOptions, startServer } from "./server/index.ts";
export { type OpenStoreOptions, openStore } from "./store/open-store.ts";
export type { OpenedStore } from "./store/opened-store.ts";
