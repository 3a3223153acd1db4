/** Someone who posts messages and does not give up: each is sent again, under its id, until it got its 202. */

export interface PosterOptions {
  /** Of the agents, all of one database: asked in turn, so that each hears a part of every thread. */
  ports: number[];
  callbackUrl: string;
  threads: number;
  messagesPerThread: number;
  /** Resolves when the n-th message of all may be posted. */
  mayPost(n: number): Promise<void>;
  signal: AbortSignal;
}

/** Every thread posts its messages one after another; all threads at once. Resolves when all are accepted. */
export async function postAll(options: PosterOptions): Promise<void> {
  const threads = Array.from({ length: options.threads }, (_, thread) => postThread(thread, options));
  await Promise.all(threads);
}

/** The text that is answered, and the only one of its kind. */
export function textOf(thread: number, index: number): string {
  return `t${thread} m${index}`;
}

async function postThread(thread: number, options: PosterOptions): Promise<void> {
  for (let index = 0; index < options.messagesPerThread; index += 1) {
    await options.mayPost(index * options.threads + thread);
    const body = JSON.stringify({
      content: `/echo ${textOf(thread, index)}`,
      channel_id: options.callbackUrl,
      thread_ts: `thread-${thread}`,
      external_id: `${thread}/${index}`,
    });
    for (let turn = index; !(await isAccepted(body, { ...options, turn })); turn += 1) {
      options.signal.throwIfAborted();
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

async function isAccepted(
  body: string,
  { ports, turn, signal }: PosterOptions & { turn: number },
): Promise<boolean> {
  try {
    const port = ports[turn % ports.length];
    const response = await fetch(`http://127.0.0.1:${port}/message`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body,
      signal: AbortSignal.any([signal, AbortSignal.timeout(5_000)]),
    });
    await response.body?.cancel();
    if (response.status === 202) return true;
    if (response.status < 500 && response.status !== 429) throw new Error(`Refused with ${response.status}`);
    return false;
  } catch (error) {
    if (error instanceof Error && error.message.startsWith("Refused")) throw error;
    return false; // the agent is down
  }
}
