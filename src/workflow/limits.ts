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
  /** How long fetching a repository may take, the first clone of a large one too. */
  fetchTimeoutMs: number;
  /** How long a run waits while others fetch the same repository. */
  maxLockWaitMs: number;
  /** How many submodules, and submodules of those, one checkout may have. */
  maxSubmodules: number;
  /** How much disk the work directory may take before a run is refused, in megabytes. */
  maxWorkMegabytes: number;
  /** How many days a workspace that nobody uses stays. */
  maxWorkspaceDays: number;
  /** How many days saved work stays, and a mirror that nobody uses. */
  maxSavedDays: number;
  /** How long the coding agent may take for one repository. */
  agentTimeoutMs: number;
  /** How long the coding agent may say nothing. */
  agentStallMs: number;
  /** How long an agent that is talked to (ACP) may take to answer anything but its task. */
  agentAnswerMs: number;
  /** How long one line that the coding agent reports may be, in characters; a longer one is left out. */
  maxAgentLine: number;
  /** How often what the coding agent does is reported to who asked, at the most. */
  progressIntervalMs: number;
  /** How much of what the coding agent says in one run is kept to be looked at, in bytes. */
  maxTranscriptBytes: number;
  /** How long the coding agent waits before it goes on, when its model was overloaded for longer than its own patience. */
  overloadBackoffMs: number;
  /** How long a turn of the coding agent waits so in all. */
  maxOverloadWaitMs: number;
  /** How long one verification command may take. */
  verifyTimeoutMs: number;
  /** How long a run may be at work in all, without what it waits. A person who has it go on gives it as much again. */
  runTimeoutMs: number;
  /** How long a program that is to end has for it: after SIGINT, and at half time SIGTERM, it is killed. */
  killGraceMs: number;
  /** How much a process may print before it is ended, in bytes. */
  maxProcessOutputBytes: number;
  /** How much of the end of each of a process's streams is kept, in characters. */
  maxKeptOutput: number;
  /** How many changed files a diff stat names. */
  maxDiffStatFiles: number;
  /** How often a change that does not pass its checks goes back to the agent. */
  maxVerifyRounds: number;
  /** How much of the output of a check that failed the agent is shown, in characters. */
  maxVerifyOutput: number;
  /** How many files a change may touch before the gate diff_size speaks. */
  maxChangedFiles: number;
  /** How many lines it may add and remove, taken together. */
  maxChangedLines: number;
  /** How many bytes the files that it touches may have together. */
  maxChangedBytes: number;
  /** How many bytes one file that it adds or changes may have. */
  maxChangedFileBytes: number;
  /** The size of a repository's own .robson.toml, in bytes. */
  maxRepositoryFileBytes: number;
  /** The size of a whole prompt, in bytes of UTF-8. */
  maxPromptBytes: number;
}

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;

export const DEFAULT_WORKFLOW_LIMITS: WorkflowLimits = {
  maxSummaryBytes: 1024,
  maxDescriptionBytes: 64 * 1024,
  maxRepositoriesPerTask: 10,
  maxListedTasks: 50,
  gitTimeoutMs: 5 * MINUTE_MS,
  fetchTimeoutMs: 30 * MINUTE_MS,
  maxLockWaitMs: 30 * MINUTE_MS,
  maxSubmodules: 50,
  maxWorkMegabytes: 50_000,
  maxWorkspaceDays: 14,
  maxSavedDays: 90,
  agentTimeoutMs: 30 * MINUTE_MS,
  // Above the ten minutes that an agent may wait for one command without a word.
  agentStallMs: 15 * MINUTE_MS,
  agentAnswerMs: MINUTE_MS,
  maxAgentLine: 8 * 1024 * 1024,
  progressIntervalMs: 5 * SECOND_MS,
  maxTranscriptBytes: 16 * 1024 * 1024,
  overloadBackoffMs: MINUTE_MS,
  maxOverloadWaitMs: 20 * MINUTE_MS,
  verifyTimeoutMs: 10 * MINUTE_MS,
  runTimeoutMs: 60 * MINUTE_MS,
  killGraceMs: 5 * SECOND_MS,
  maxProcessOutputBytes: 64 * 1024 * 1024,
  maxKeptOutput: 64 * 1024,
  maxDiffStatFiles: 50,
  maxVerifyRounds: 3,
  maxVerifyOutput: 20_000,
  maxChangedFiles: 100,
  maxChangedLines: 3000,
  maxChangedBytes: 4 * 1024 * 1024,
  maxChangedFileBytes: 1024 * 1024,
  maxRepositoryFileBytes: 64 * 1024,
  maxPromptBytes: 512 * 1024,
};

/** What a sandboxed program may use up. Sizes are in MiB. */
export interface SandboxLimits {
  /** How many processes and threads may run at once. */
  maxProcesses: number;
  /** How much memory they may use together, what they keep in /tmp included. */
  maxMemoryMib: number;
  /** How large one file may become. */
  maxFileMib: number;
  /** How much /tmp and /dev/shm hold, each; they are kept in memory. */
  maxTemporaryMib: number;
  /** How much the folders that the program may write hold together. */
  maxDiskMib: number;
  /** How much must stay free on the disks of these folders. */
  minFreeDiskMib: number;
  /** How often those folders are measured. */
  diskCheckMs: number;
  /** How many connections to allowed domains are open at once. */
  maxConnections: number;
  /** How long making one of them may take. */
  connectTimeoutMs: number;
  /** How long one of them may be silent. */
  idleConnectionMs: number;
}

export const DEFAULT_SANDBOX_LIMITS: SandboxLimits = {
  maxProcesses: 2048,
  maxMemoryMib: 8192,
  maxFileMib: 2048,
  maxTemporaryMib: 2048,
  maxDiskMib: 10_240,
  minFreeDiskMib: 512,
  diskCheckMs: 30 * SECOND_MS,
  maxConnections: 128,
  connectTimeoutMs: 30 * SECOND_MS,
  idleConnectionMs: 10 * MINUTE_MS,
};
