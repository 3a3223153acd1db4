/**
 * What becomes of a task, written with a step of its run: so that the step's result and the task's status are stored
 * together or not at all. The same columns as `setStatus` and `setRepositoryStatus` of tasks.ts.
 */
import type {
  OpenRepositoriesWrite,
  RepositoryStatusWrite,
  TaskStatusWrite,
} from "../workflow/task-store.ts";
import type { Statement } from "./run-changes.ts";

export const taskWrites = {
  "task-status": ({ key, change, at }: TaskStatusWrite): Statement[] => {
    const { status, branch, prUrl, error } = change;
    const isEnd = status === "done" || status === "failed" || status === "unfinished";
    return [
      {
        text: `update tasks set status = coalesce($2, status),
          branch = case when $3 = 1 then $4 else branch end, pr_url = case when $5 = 1 then $6 else pr_url end,
          error = case when $7 = 1 then $8 else error end, updated_at = $9,
          started_at = case when $2 = 'in_progress' then coalesce(started_at, cast($9 as bigint)) else started_at end,
          finished_at = case when $2 is null then finished_at when $10 = 1 then cast($9 as bigint) end
          where jira_key = $1`,
        values: [
          key,
          status ?? null,
          ...optional(branch),
          ...optional(prUrl),
          ...optional(error),
          at,
          isEnd ? 1 : 0,
        ],
      },
    ];
  },
  "repository-status": ({ key, url, change }: RepositoryStatusWrite): Statement[] => {
    const { status, branch, prUrl, error } = change;
    return [
      {
        text: `update task_repos set status = coalesce($3, status),
          branch = case when $4 = 1 then $5 else branch end, pr_url = case when $6 = 1 then $7 else pr_url end,
          error = case when $8 = 1 then $9 else error end
          where task_id = (select id from tasks where jira_key = $1) and repo_id = (select id from repos where url = $2)`,
        values: [key, url, status ?? null, ...optional(branch), ...optional(prUrl), ...optional(error)],
      },
    ];
  },
  "open-repositories-status": ({ key, change }: OpenRepositoriesWrite): Statement[] => {
    const { status, error } = change;
    return [
      {
        text: `update task_repos set status = coalesce($2, status), error = case when $3 = 1 then $4 else error end
          where task_id = (select id from tasks where jira_key = $1) and status = 'in_progress'`,
        values: [key, status ?? null, ...optional(error)],
      },
    ];
  },
};

/** Whether it changes, and to what: absent fields stay, null empties. */
function optional(value: string | null | undefined): [number, string | null] {
  return value === undefined ? [0, null] : [1, value];
}
