/** Where the words of a run's agent are kept on this machine; for `/logs`, `why` and `robson runs`. */
import { access } from "node:fs/promises";
import type { Config } from "../config/load-config.ts";
import { readTranscript, showEntry, transcriptFile } from "../workflow/transcript.ts";

type Place = Pick<Config, "workflow">;

/** The file of one run; none where its agent has written nothing here. */
export async function transcriptsOf({ workflow }: Place, runId: number): Promise<string[]> {
  const file = transcriptFile({ workDirectory: workflow.workDir, runId });
  return access(file).then(
    () => [file],
    () => [],
  );
}

/** What they hold, a line for each thing that was said; as JSON all that was kept. */
export async function* transcriptLines(files: string[], isJson: boolean): AsyncGenerator<string> {
  for (const file of files) {
    for (const entry of await readTranscript(file)) {
      const line = isJson ? JSON.stringify(entry) : showEntry(entry);
      if (line !== undefined) yield line;
    }
  }
}
