/**
 * The tables as TypeScript sees them, for the cold queries. Instants are integer milliseconds since 1970;
 * booleans are 0 and 1, so that both databases hold the same values. The tables themselves: migrations/.
 */
import type { Generated } from "kysely";

export interface ConversationsTable {
  id: Generated<number>;
  message_id: string;
  gateway_id: number | null;
  gateway_channel_id: string;
  thread_ts: string;
  user_id: string;
  role: string;
  content: string;
  is_addressed: number;
  idempotency_key: string | null;
  created_at: number;
  /** Of its thread; 0 for what had ended before shards were stored. */
  shard: Generated<number>;
}

/** One row for each message that is not done: `pending`, `claimed`, `dead`, or `waiting` with its run. */
export interface InboxTable {
  conversation_id: number;
  status: string;
  attempts: number;
  /** How many of the attempts ended with the process. */
  interruptions: number;
  next_attempt_at: number | null;
  last_error: string | null;
  /** 1 while no owner has taken the message over from the process that stored it. */
  is_unowned: number;
  /** Who wants it ended, while it is open. */
  stopped_by: string | null;
  /** How often a person has had it tried again. */
  round: Generated<number>;
}

export interface ProcessEventsTable {
  id: Generated<number>;
  conversation_id: number;
  sequence: number;
  kind: string;
  content: string;
  /** Who emitted it; null for the loop itself. */
  worker: string | null;
  created_at: number;
  /** Written by former versions; what counts is when the deliveries arrived. */
  delivered_at: number | null;
  /** The transaction that stored it; on PostgreSQL alone. */
  transaction_id: Generated<number>;
}

/** Attempts that failed: of a worker at a message, or of a gateway at a delivery. */
export interface FailedAttemptsTable {
  id: Generated<number>;
  conversation_id: number;
  event_id: number | null;
  gateway: string | null;
  target: string | null;
  worker: string | null;
  attempt: number;
  error: string;
  failed_at: number;
  next_at: number | null;
}

export interface DeliveriesTable {
  event_id: number;
  gateway_id: number;
  target: string;
  delivery_id: string;
  status: string;
  attempts: number;
  /** How many of the attempts ended with the process. */
  interruptions: number;
  next_retry_at: number | null;
  last_error: string | null;
  delivered_at: number | null;
  /** Of a delivery that was made because someone subscribes. */
  subscriber_id: number | null;
  /** How often a person has had it tried again. */
  round: Generated<number>;
}

export interface TasksTable {
  id: Generated<number>;
  jira_key: string;
  summary: string;
  description: string;
  assignee: string | null;
  project: string;
  status: string;
  branch: string | null;
  pr_url: string | null;
  error: string | null;
  created_at: number;
  updated_at: number;
  started_at: number | null;
  finished_at: number | null;
}

export interface ReposTable {
  id: Generated<number>;
  url: string;
  created_at: number;
}

export interface TaskReposTable {
  task_id: number;
  repo_id: number;
  status: string;
  branch: string | null;
  pr_url: string | null;
  error: string | null;
}

export interface TaskCommentsTable {
  id: Generated<number>;
  task_id: number;
  /** Recognises a comment that was written before a crash; unique per task. */
  marker: string;
  body: string;
  created_at: number;
}

export interface PullRequestsTable {
  id: Generated<number>;
  repo_url: string;
  number: number;
  head: string;
  base: string;
  title: string;
  body: string;
  head_sha: string;
  status: string;
  /** Null where a program opened it that does not keep this. */
  is_draft: number | null;
  created_at: number;
  updated_at: number;
}

export interface RunsTable {
  /** Of the message that started it: a run has its number. */
  conversation_id: number;
  worker: string;
  version: number;
  is_detached: number;
  lane: string | null;
  title: string;
  status: string;
  reason: string | null;
  round: number;
  created_at: number;
  updated_at: number;
  ended_at: number | null;
  /** The latest round of its message, for when that has no row in `inbox` any more. */
  message_round: Generated<number>;
}

export interface StepsTable {
  run_id: number;
  name: string;
  ordinal: number;
  attempts: number;
  /** JSON. */
  result: string | null;
  begun_at: number;
  ended_at: number | null;
}

export interface DecisionsTable {
  run_id: number;
  name: string;
  kind: string;
  text: string;
  /** A JSON list of texts. */
  choices: string;
  key: string | null;
  asked_at: number;
  due_at: number | null;
  /** JSON. */
  answer: string | null;
  answered_by: string | null;
  answered_at: number | null;
}

export interface RunNotesTable {
  run_id: number;
  conversation_id: number;
  user_id: string;
  content: string;
  created_at: number;
  taken_at: number | null;
}

export interface Schema {
  gateways: { id: Generated<number>; name: string; created_at: number };
  conversations: ConversationsTable;
  inbox: InboxTable;
  process_events: ProcessEventsTable;
  process_event_deliveries: DeliveriesTable;
  failed_attempts: FailedAttemptsTable;
  hinted_threads: { thread_key: string; hinted_at: number };
  /** On PostgreSQL alone. */
  processes: { id: Generated<number>; name: string; gateway_ids: number[]; joined_at: number };
  /** On PostgreSQL alone. */
  shard_leases: { gateway_id: number; shard: number; process_id: number; acquired_at: number };
  /** One row: the round that is under way, and up to which message some have been removed. */
  retention: { name: string; epoch: number; claimed_at: number; removed_through: number };
  leases: { name: string; owner: string; epoch: number; acquired_at: number };
  tasks: TasksTable;
  repos: ReposTable;
  task_repos: TaskReposTable;
  task_comments: TaskCommentsTable;
  pull_requests: PullRequestsTable;
  runs: RunsTable;
  steps: StepsTable;
  effects: { run_id: number; step: string; key: string; outcome: string; at: number };
  decisions: DecisionsTable;
  run_signals: { key: string; value: string; at: number };
  run_notes: RunNotesTable;
  subscribers: {
    id: Generated<number>;
    callback_url: string;
    description: string | null;
    created_at: number;
  };
  allowed_channels: { id: Generated<number>; gateway_id: number; channel_id: string; created_at: number };
  rate_limits: {
    id: Generated<number>;
    scope: string;
    subject: string;
    window_started_at: number;
    request_count: number;
  };
}
