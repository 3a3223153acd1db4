/**
 * What is kept and told of one turn of an agent: its transcript, a file that `robson runs show --transcript` reads, and
 * now and then a text for who asked. Both may be lost in a crash; neither ends a turn.
 */
import { messageOf } from "../core/errors.ts";
import type { StepContext } from "../core/run.ts";
import type { AgentEvent } from "./coding-agent.ts";
import { ProgressDigest } from "./progress-digest.ts";
import { redactor } from "./redact.ts";
import type { RepositoryRun } from "./repository-run.ts";
import { openTranscript, transcriptFile } from "./transcript.ts";

export interface TurnRecord {
  onEvent(event: AgentEvent): void;
  onLine(line: string): void;
  close(): Promise<void>;
}

export async function openTurnRecord(
  { run, url }: RepositoryRun,
  { round, step }: { round: number; step: StepContext },
): Promise<TurnRecord> {
  const { options, limits, runId, log } = run;
  const secrets = [...(options.knownSecrets ?? []), ...Object.values(options.sandbox?.environment ?? {})];
  const transcript = openTranscript({
    file: transcriptFile({ workDirectory: options.workDirectory, runId }),
    maxBytes: limits.maxTranscriptBytes,
    secrets,
    clock: options.clock,
    onError: (error) => log.warn({ run: runId, error: messageOf(error) }, "a transcript cannot be written"),
  });
  const digest = new ProgressDigest({
    intervalMs: limits.progressIntervalMs,
    redact: redactor(secrets),
    show: (text) => step.tell(text),
  });
  const again = step.attempt > 1 ? `, attempt ${step.attempt}` : "";
  transcript.note(`Turn ${round} of the agent "${run.agent.name}" in ${url}${again}`);
  return {
    onEvent(event) {
      transcript.event(event);
      digest.add(event);
      log.debug({ run: runId, event: event.type }, "agent event");
    },
    onLine: (line) => transcript.line(line),
    async close() {
      await digest.close();
      await transcript.close();
    },
  };
}
