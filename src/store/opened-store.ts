/** What `openStore` returns: core's contract, and beside it what the workflow and the operator's commands need. */
import type { AllowList } from "../core/admission-store.ts";
import type { EventFeed } from "../core/event-feed.ts";
import type { OperatorRecords } from "../core/operator-records.ts";
import type { RetentionStore } from "../core/retention.ts";
import type { Store } from "../core/store.ts";
import type { SubscriberStore } from "../core/subscriber.ts";
import type { PullRequestStore } from "../workflow/pull-request-store.ts";
import type { TaskStore } from "../workflow/task-store.ts";
import type { Migrated } from "./migrations/outcome.ts";
import type { Sql } from "./sql.ts";

export interface OpenedStore extends Store {
  readonly tasks: TaskStore;
  readonly pullRequests: PullRequestStore;
  readonly subscribers: SubscriberStore;
  readonly allowList: AllowList;
  readonly retention: RetentionStore;
  readonly feed: EventFeed;
  readonly operator: OperatorRecords;
  /** Loads Kysely; for tests. */
  sql(): Promise<Sql>;
  /** What opening it did: equal versions when it was up to date. */
  readonly migrated: Migrated;
}
