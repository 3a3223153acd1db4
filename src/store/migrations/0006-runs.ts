/**
 * Long work: runs with their steps, the effects outside that these have, what they wait for, and what was passed on
 * to them. A run has its message's number; every row has its run's.
 */
import { type ColumnDataType, type Kysely, sql } from "kysely";
import type { MigrationContext } from "./index.ts";

export async function up(db: Kysely<unknown>, { dialect }: MigrationContext): Promise<void> {
  const whole: ColumnDataType = dialect === "sqlite" ? "integer" : "bigint";
  await createRuns(db, whole);
  await createSteps(db, whole);
  await createDecisions(db, whole);
  // What waits for a time is looked for by that time, and by nothing else.
  await sql`create index inbox_due on inbox (next_attempt_at) where status = 'waiting'`.execute(db);
}

async function createRuns(db: Kysely<unknown>, whole: ColumnDataType): Promise<void> {
  await db.schema
    .createTable("runs")
    .addColumn("conversation_id", whole, (column) => column.primaryKey())
    .addColumn("worker", "text", (column) => column.notNull())
    .addColumn("version", "integer", (column) => column.notNull())
    .addColumn("is_detached", "smallint", (column) => column.notNull())
    .addColumn("lane", "text")
    .addColumn("title", "text", (column) => column.notNull())
    .addColumn("status", "text", (column) => column.notNull())
    .addColumn("reason", "text")
    .addColumn("round", "integer", (column) => column.notNull())
    .addColumn("created_at", whole, (column) => column.notNull())
    .addColumn("updated_at", whole, (column) => column.notNull())
    .addColumn("ended_at", whole)
    .execute();
  // What two requests at the same moment meet: one of them is told that the other is at it.
  await sql`create unique index runs_lane on runs (lane) where ended_at is null and lane is not null`.execute(
    db,
  );
  await sql`create index runs_open on runs (conversation_id) where ended_at is null`.execute(db);
}

async function createSteps(db: Kysely<unknown>, whole: ColumnDataType): Promise<void> {
  await db.schema
    .createTable("steps")
    .addColumn("run_id", whole, (column) => column.notNull())
    .addColumn("name", "text", (column) => column.notNull())
    .addColumn("ordinal", "integer", (column) => column.notNull())
    .addColumn("attempts", "integer", (column) => column.notNull())
    .addColumn("result", "text")
    .addColumn("begun_at", whole, (column) => column.notNull())
    .addColumn("ended_at", whole)
    .addPrimaryKeyConstraint("steps_identity", ["run_id", "name"])
    .execute();
  await db.schema
    .createTable("effects")
    .addColumn("run_id", whole, (column) => column.notNull())
    .addColumn("step", "text", (column) => column.notNull())
    .addColumn("key", "text", (column) => column.notNull())
    .addColumn("outcome", "text", (column) => column.notNull())
    .addColumn("at", whole, (column) => column.notNull())
    .addPrimaryKeyConstraint("effects_identity", ["run_id", "step"])
    .execute();
}

async function createDecisions(db: Kysely<unknown>, whole: ColumnDataType): Promise<void> {
  await db.schema
    .createTable("decisions")
    .addColumn("run_id", whole, (column) => column.notNull())
    .addColumn("name", "text", (column) => column.notNull())
    .addColumn("kind", "text", (column) => column.notNull())
    .addColumn("text", "text", (column) => column.notNull())
    .addColumn("choices", "text", (column) => column.notNull())
    .addColumn("key", "text")
    .addColumn("asked_at", whole, (column) => column.notNull())
    .addColumn("due_at", whole)
    .addColumn("answer", "text")
    .addColumn("answered_by", "text")
    .addColumn("answered_at", whole)
    .addPrimaryKeyConstraint("decisions_identity", ["run_id", "name"])
    .execute();
  await sql`create index decisions_key on decisions (key) where answered_at is null and key is not null`.execute(
    db,
  );
  // An event that came before anyone waited for it; the latest of its key.
  await db.schema
    .createTable("run_signals")
    .addColumn("key", "text", (column) => column.primaryKey())
    .addColumn("value", "text", (column) => column.notNull())
    .addColumn("at", whole, (column) => column.notNull())
    .execute();
  await db.schema
    .createTable("run_notes")
    .addColumn("run_id", whole, (column) => column.notNull())
    .addColumn("conversation_id", whole, (column) => column.notNull())
    .addColumn("user_id", "text", (column) => column.notNull())
    .addColumn("content", "text", (column) => column.notNull())
    .addColumn("created_at", whole, (column) => column.notNull())
    .addColumn("taken_at", whole)
    .addPrimaryKeyConstraint("run_notes_identity", ["run_id", "conversation_id"])
    .execute();
}
