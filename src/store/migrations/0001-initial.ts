/** The first tables: the way of a message (inbox, outbox, ownership), and the local tracker and forge. */
import { type ColumnDataType, type CreateTableBuilder, type Kysely, sql } from "kysely";
import type { MigrationContext } from "./index.ts";

export async function up(db: Kysely<unknown>, context: MigrationContext): Promise<void> {
  await createWay(db, context);
  await createAccess(db, context);
  await createWorkflow(db, context);
}

/** An id that the database counts: SQLite's rowid, PostgreSQL's identity. */
function withId<T extends string>(table: CreateTableBuilder<T>, { dialect }: MigrationContext) {
  return dialect === "sqlite"
    ? table.addColumn("id", "integer", (column) => column.primaryKey())
    : table.addColumn("id", "bigint", (column) => column.primaryKey().generatedAlwaysAsIdentity());
}

// No foreign keys between the tables of the way: parent and child are written by one transaction, and PostgreSQL
// would lock and rewrite the parent row for every child.
async function createWay(db: Kysely<unknown>, context: MigrationContext): Promise<void> {
  const { dialect } = context;
  const instant: ColumnDataType = dialect === "sqlite" ? "integer" : "bigint";

  await withId(db.schema.createTable("gateways"), context)
    .addColumn("name", "text", (column) => column.notNull().unique())
    .addColumn("created_at", instant, (column) => column.notNull())
    .execute();

  await withId(db.schema.createTable("conversations"), context)
    .addColumn("message_id", "text", (column) => column.notNull())
    .addColumn("gateway_id", instant)
    .addColumn("gateway_channel_id", "text", (column) => column.notNull())
    .addColumn("thread_ts", "text", (column) => column.notNull().defaultTo(""))
    .addColumn("user_id", "text", (column) => column.notNull())
    .addColumn("role", "text", (column) => column.notNull())
    .addColumn("content", "text", (column) => column.notNull())
    .addColumn("is_addressed", "smallint", (column) => column.notNull())
    .addColumn("idempotency_key", "text")
    .addColumn("created_at", instant, (column) => column.notNull())
    .execute();
  await sql`create unique index conversations_idempotency on conversations (coalesce(gateway_id, 0), idempotency_key)
    where idempotency_key is not null`.execute(db);

  // What is still to be done about a message. Messages themselves never change: on PostgreSQL a change would
  // write the whole row and all its index entries anew, in a table that grows with history.
  await db.schema
    .createTable("inbox")
    .addColumn("conversation_id", instant, (column) => column.primaryKey())
    .addColumn("status", "text", (column) => column.notNull())
    .addColumn("attempts", "integer", (column) => column.notNull())
    .addColumn("next_attempt_at", instant)
    .addColumn("last_error", "text")
    .addColumn("is_unowned", "smallint", (column) => column.notNull())
    .execute();
  await sql`create index inbox_unowned on inbox (conversation_id) where is_unowned = 1`.execute(db);

  await withId(db.schema.createTable("process_events"), context)
    .addColumn("conversation_id", instant, (column) => column.notNull())
    .addColumn("sequence", instant, (column) => column.notNull())
    .addColumn("kind", "text", (column) => column.notNull())
    .addColumn("content", "text", (column) => column.notNull())
    .addColumn("created_at", instant, (column) => column.notNull())
    .addColumn("delivered_at", instant)
    .addUniqueConstraint("process_events_identity", ["conversation_id", "sequence"])
    .execute();

  const deliveries = db.schema
    .createTable("process_event_deliveries")
    .addColumn("event_id", instant, (column) => column.notNull())
    .addColumn("gateway_id", instant, (column) => column.notNull())
    .addColumn("target", "text", (column) => column.notNull())
    .addColumn("delivery_id", "text", (column) => column.notNull())
    .addColumn("status", "text", (column) => column.notNull())
    .addColumn("attempts", "integer", (column) => column.notNull())
    .addColumn("next_retry_at", instant)
    .addColumn("last_error", "text")
    .addColumn("delivered_at", instant)
    .addPrimaryKeyConstraint("process_event_deliveries_identity", ["event_id", "gateway_id", "target"]);
  await (dialect === "sqlite" ? deliveries.modifyEnd(sql`without rowid`) : deliveries).execute();
  await sql`create index process_event_deliveries_open on process_event_deliveries (event_id)
    where status in ('pending', 'claimed')`.execute(db);
  await sql`create index process_event_deliveries_dead on process_event_deliveries (event_id)
    where status = 'dead'`.execute(db);

  await db.schema
    .createTable("leases")
    .addColumn("name", "text", (column) => column.primaryKey())
    .addColumn("owner", "text", (column) => column.notNull())
    .addColumn("epoch", instant, (column) => column.notNull())
    .addColumn("acquired_at", instant, (column) => column.notNull())
    .execute();
}

async function createAccess(db: Kysely<unknown>, context: MigrationContext): Promise<void> {
  const instant: ColumnDataType = context.dialect === "sqlite" ? "integer" : "bigint";

  await withId(db.schema.createTable("subscribers"), context)
    .addColumn("callback_url", "text", (column) => column.notNull().unique())
    .addColumn("description", "text")
    .addColumn("created_at", instant, (column) => column.notNull())
    .execute();
  await withId(db.schema.createTable("allowed_channels"), context)
    .addColumn("gateway_id", instant, (column) => column.notNull().references("gateways.id"))
    .addColumn("channel_id", "text", (column) => column.notNull())
    .addColumn("created_at", instant, (column) => column.notNull())
    .addUniqueConstraint("allowed_channels_identity", ["gateway_id", "channel_id"])
    .execute();
  await withId(db.schema.createTable("rate_limits"), context)
    .addColumn("scope", "text", (column) => column.notNull())
    .addColumn("subject", "text", (column) => column.notNull())
    .addColumn("window_started_at", instant, (column) => column.notNull())
    .addColumn("request_count", "integer", (column) => column.notNull())
    .addUniqueConstraint("rate_limits_identity", ["scope", "subject"])
    .execute();
}

async function createWorkflow(db: Kysely<unknown>, context: MigrationContext): Promise<void> {
  const instant: ColumnDataType = context.dialect === "sqlite" ? "integer" : "bigint";

  await withId(db.schema.createTable("tasks"), context)
    .addColumn("jira_key", "text", (column) => column.notNull().unique())
    .addColumn("summary", "text", (column) => column.notNull())
    .addColumn("description", "text", (column) => column.notNull())
    .addColumn("assignee", "text")
    .addColumn("project", "text", (column) => column.notNull())
    .addColumn("status", "text", (column) => column.notNull())
    .addColumn("branch", "text")
    .addColumn("pr_url", "text")
    .addColumn("error", "text")
    .addColumn("created_at", instant, (column) => column.notNull())
    .addColumn("updated_at", instant, (column) => column.notNull())
    .addColumn("started_at", instant)
    .addColumn("finished_at", instant)
    .execute();
  await withId(db.schema.createTable("repos"), context)
    .addColumn("url", "text", (column) => column.notNull().unique())
    .addColumn("created_at", instant, (column) => column.notNull())
    .execute();
  await db.schema
    .createTable("task_repos")
    .addColumn("task_id", instant, (column) => column.notNull().references("tasks.id"))
    .addColumn("repo_id", instant, (column) => column.notNull().references("repos.id"))
    .addColumn("status", "text", (column) => column.notNull())
    .addColumn("branch", "text")
    .addColumn("pr_url", "text")
    .addColumn("error", "text")
    .addPrimaryKeyConstraint("task_repos_identity", ["task_id", "repo_id"])
    .execute();
  await withId(db.schema.createTable("task_comments"), context)
    .addColumn("task_id", instant, (column) => column.notNull().references("tasks.id"))
    .addColumn("marker", "text", (column) => column.notNull())
    .addColumn("body", "text", (column) => column.notNull())
    .addColumn("created_at", instant, (column) => column.notNull())
    .addUniqueConstraint("task_comments_identity", ["task_id", "marker"])
    .execute();
  await withId(db.schema.createTable("pull_requests"), context)
    .addColumn("repo_url", "text", (column) => column.notNull())
    .addColumn("number", "integer", (column) => column.notNull())
    .addColumn("head", "text", (column) => column.notNull())
    .addColumn("base", "text", (column) => column.notNull())
    .addColumn("title", "text", (column) => column.notNull())
    .addColumn("body", "text", (column) => column.notNull())
    .addColumn("head_sha", "text", (column) => column.notNull())
    .addColumn("status", "text", (column) => column.notNull())
    .addColumn("created_at", instant, (column) => column.notNull())
    .addColumn("updated_at", instant, (column) => column.notNull())
    .addUniqueConstraint("pull_requests_number", ["number"])
    .execute();
  await sql`create unique index pull_requests_open on pull_requests (repo_url, head, base)
    where status = 'open'`.execute(db);
}
