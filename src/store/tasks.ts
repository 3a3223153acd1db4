/**
 * The tasks and their repositories, for both databases: the workflow's `TaskStore`. Cold: reads through
 * Kysely, writes through the one writer. What a task may hold is checked before, by `createTask`.
 */
import { sql as rawSql } from "kysely";
import { RobsonError } from "../core/errors.ts";
import type { Task, TaskRepo, TaskStatus } from "../workflow/task.ts";
import type { NewTask, StatusChange, TaskFilter, TaskStore } from "../workflow/task-store.ts";
import type { TasksTable } from "./schema.ts";
import type { Sql } from "./sql.ts";

/** How many tasks a list holds where its caller sets no limit. */
const MAX_LISTED = 1000;

/** The tasks of a database. */
export function createTaskStore(sql: Sql, clock: { now(): number }): TaskStore {
  const find = (key: string) => findTask(sql, key);
  const get = async (key: string) => (await find(key)) ?? notFound(key);
  return {
    find,
    get,
    list: (filter = {}) => listTasks(sql, filter),
    async create(task) {
      if (await find(task.key)) throw exists(task.key);
      try {
        await sql.write(creation(sql, { task, now: clock.now() }));
      } catch (error) {
        if (await isWritten(sql, task.key)) throw exists(task.key, error);
        throw error;
      }
      return get(task.key);
    },
    async addRepository(key, url) {
      await get(key);
      await sql.write(repositoryCreation(sql, { key, url, now: clock.now() }));
    },
    async setStatus(key, change) {
      const [rows] = await sql.write([statusUpdate(sql, { key, change, now: clock.now() })]);
      if (!rows?.length) notFound(key);
    },
    async setRepositoryStatus(key, { url, ...change }) {
      const ids = await repositoryIds(sql, { key, url });
      const update = sql.read
        .updateTable("task_repos")
        .set(columnsOf(change))
        .where("task_id", "=", ids.task_id)
        .where("repo_id", "=", ids.repo_id);
      if (Object.keys(columnsOf(change)).length > 0) await sql.write([update.compile()]);
    },
    async findOrCreateComment(key, { marker, body }) {
      const row = { task_id: await idOf(sql, key), marker, body, created_at: clock.now() };
      const insert = sql.read
        .insertInto("task_comments")
        .values(row)
        .onConflict((on) => on.doNothing())
        .returning("id");
      const [rows] = await sql.write([insert.compile()]);
      return { isNew: (rows?.length ?? 0) > 0 };
    },
    async comments(key) {
      const rows = await sql.read
        .selectFrom("task_comments")
        .select(["marker", "body", "created_at"])
        .where("task_id", "=", await idOf(sql, key))
        .orderBy("id")
        .execute();
      return rows.map(({ marker, body, created_at }) => ({ marker, body, createdAt: created_at }));
    },
  };
}

/** Whether someone else was quicker. Asked of the writer: a read may not see yet what shares its batch. */
async function isWritten(sql: Sql, key: string): Promise<boolean> {
  const [rows] = await sql.write([
    sql.read.selectFrom("tasks").select("id").where("jira_key", "=", key).compile(),
  ]);
  return (rows?.length ?? 0) > 0;
}

async function findTask(sql: Sql, key: string): Promise<Task | undefined> {
  const row = await sql.read.selectFrom("tasks").selectAll().where("jira_key", "=", key).executeTakeFirst();
  return row && (await withRepositories(sql, [row]))[0];
}

async function listTasks(sql: Sql, { status, project, limit = MAX_LISTED }: TaskFilter): Promise<Task[]> {
  let query = sql.read.selectFrom("tasks").selectAll().orderBy("id").limit(limit);
  if (status !== undefined) query = query.where("status", "=", status);
  if (project !== undefined) query = query.where("project", "=", project);
  return withRepositories(sql, await query.execute());
}

type TaskRow = Omit<TasksTable, "id"> & { id: number };

async function withRepositories(sql: Sql, tasks: TaskRow[]): Promise<Task[]> {
  if (tasks.length === 0) return [];
  const ids = tasks.map(({ id }) => id);
  const rows = await sql.read
    .selectFrom("task_repos")
    .innerJoin("repos", "repos.id", "task_repos.repo_id")
    .selectAll("task_repos")
    .select("repos.url")
    .where("task_id", "in", ids)
    .orderBy("task_id")
    .orderBy("repo_id")
    .execute();
  const byTask = Map.groupBy(rows, (row) => row.task_id);
  return tasks.map((task) => ({
    ...toTask(task),
    repositories: (byTask.get(task.id) ?? []).map(
      (row): TaskRepo => ({ url: row.url, status: row.status as TaskStatus, ...present(row) }),
    ),
  }));
}

function toTask(row: TaskRow): Omit<Task, "repositories"> {
  return {
    key: row.jira_key,
    summary: row.summary,
    description: row.description,
    ...(row.assignee === null ? {} : { assignee: row.assignee }),
    project: row.project,
    status: row.status as TaskStatus,
    ...present(row),
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    ...(row.started_at === null ? {} : { startedAt: row.started_at }),
    ...(row.finished_at === null ? {} : { finishedAt: row.finished_at }),
  };
}

function present(row: { branch: string | null; pr_url: string | null; error: string | null }) {
  return {
    ...(row.branch === null ? {} : { branch: row.branch }),
    ...(row.pr_url === null ? {} : { prUrl: row.pr_url }),
    ...(row.error === null ? {} : { error: row.error }),
  };
}

/** The task, its repositories, and the rows between them: one transaction. */
function creation(sql: Sql, { task, now }: { task: NewTask; now: number }) {
  const row = {
    jira_key: task.key,
    summary: task.summary,
    description: task.description,
    assignee: task.assignee ?? null,
    project: task.project,
    status: "pending",
    created_at: now,
    updated_at: now,
  };
  const insertTask = sql.read.insertInto("tasks").values(row).compile();
  const perRepository = task.repoUrls.flatMap((url) => repositoryCreation(sql, { key: task.key, url, now }));
  return [insertTask, ...perRepository];
}

/** The repository, and that the task touches it; what is there already stays. */
function repositoryCreation(sql: Sql, { key, url, now }: { key: string; url: string; now: number }) {
  return [
    sql.read
      .insertInto("repos")
      .values({ url, created_at: now })
      .onConflict((on) => on.column("url").doNothing())
      .compile(),
    sql.read
      .insertInto("task_repos")
      .columns(["task_id", "repo_id", "status"])
      .expression((build) =>
        build
          .selectFrom(["tasks", "repos"])
          .select(["tasks.id as task_id", "repos.id as repo_id", rawSql.lit("pending").as("status")])
          .where("tasks.jira_key", "=", key)
          .where("repos.url", "=", url),
      )
      .onConflict((on) => on.doNothing())
      .compile(),
  ];
}

function statusUpdate(sql: Sql, { key, change, now }: { key: string; change: StatusChange; now: number }) {
  const { status } = change;
  const isEnd = status === "done" || status === "failed" || status === "unfinished";
  return sql.read
    .updateTable("tasks")
    .set({
      ...columnsOf(change),
      updated_at: now,
      ...(status === "in_progress" ? { started_at: rawSql<number>`coalesce(started_at, ${now})` } : {}),
      ...(status === undefined ? {} : { finished_at: isEnd ? now : null }),
    })
    .where("jira_key", "=", key)
    .returning("id")
    .compile();
}

function columnsOf({ status, branch, prUrl, error }: StatusChange) {
  return {
    ...(status === undefined ? {} : { status }),
    ...(branch === undefined ? {} : { branch }),
    ...(prUrl === undefined ? {} : { pr_url: prUrl }),
    ...(error === undefined ? {} : { error }),
  };
}

async function repositoryIds(sql: Sql, { key, url }: { key: string; url: string }) {
  const ids = await sql.read
    .selectFrom("task_repos")
    .innerJoin("tasks", "tasks.id", "task_repos.task_id")
    .innerJoin("repos", "repos.id", "task_repos.repo_id")
    .select(["task_id", "repo_id"])
    .where("tasks.jira_key", "=", key)
    .where("repos.url", "=", url)
    .executeTakeFirst();
  if (ids) return ids;
  await idOf(sql, key);
  throw new RobsonError("REPOSITORY_INVALID", `Task "${key}" does not touch the repository ${url}`, {
    hint: "Look at its repositories with `robson task show`",
  });
}

async function idOf(sql: Sql, key: string): Promise<number> {
  const row = await sql.read.selectFrom("tasks").select("id").where("jira_key", "=", key).executeTakeFirst();
  return row?.id ?? notFound(key);
}

function notFound(key: string): never {
  throw new RobsonError("TASK_NOT_FOUND", `There is no task "${key}"`, {
    hint: "`robson task list`, or /task list in a chat, shows those that are there",
  });
}

function exists(key: string, cause?: unknown): RobsonError {
  return new RobsonError("TASK_EXISTS", `There is a task "${key}" already`, {
    hint: `Look at it with /task show ${key}, or choose another key`,
    cause,
  });
}
