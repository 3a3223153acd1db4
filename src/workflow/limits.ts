/**
 * Every limit of the workflow with its default. An error that a limit causes names it, so that its reader
 * finds the line to raise.
 */
export interface WorkflowLimits {
  /** The size of a task's summary, in bytes of UTF-8. */
  maxSummaryBytes: number;
  /** The size of a task's description, in bytes of UTF-8. */
  maxDescriptionBytes: number;
  /** How many repositories one task may touch. */
  maxRepositoriesPerTask: number;
  /** How many tasks `/task list` shows. */
  maxListedTasks: number;
  /** How long one git command may take. */
  gitTimeoutMs: number;
  /** How long the coding agent may take for one repository. */
  agentTimeoutMs: number;
  /** How long one verification command may take. */
  verifyTimeoutMs: number;
  /** How long the whole of `/run-task` may take. */
  runTimeoutMs: number;
  /** How long a process group has between SIGTERM and SIGKILL. */
  killGraceMs: number;
  /** How much a process may print before it is ended, in bytes. */
  maxProcessOutputBytes: number;
  /** How much of the end of each of a process's streams is kept, in characters. */
  maxKeptOutput: number;
  /** How many changed files a diff stat names. */
  maxDiffStatFiles: number;
}

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;

export const DEFAULT_WORKFLOW_LIMITS: WorkflowLimits = {
  maxSummaryBytes: 1024,
  maxDescriptionBytes: 64 * 1024,
  maxRepositoriesPerTask: 10,
  maxListedTasks: 50,
  gitTimeoutMs: 5 * MINUTE_MS,
  agentTimeoutMs: 30 * MINUTE_MS,
  verifyTimeoutMs: 10 * MINUTE_MS,
  runTimeoutMs: 60 * MINUTE_MS,
  killGraceMs: 5 * SECOND_MS,
  maxProcessOutputBytes: 64 * 1024 * 1024,
  maxKeptOutput: 64 * 1024,
  maxDiffStatFiles: 50,
};
