/**
 * No sandbox: the program runs as the user who runs Robson, with all that this user may do. Only for the demo, for
 * tests, and where something else stands around Robson (a container, a machine of its own).
 */
import type { Sandbox } from "../sandbox.ts";

export function noSandbox(): Sandbox {
  return {
    name: "none",
    async check() {
      return {
        warnings: [
          'sandbox = "none": agents and checks may do whatever the user may who runs Robson, and reach the network',
        ],
      };
    },
    async wrap(program) {
      return { ...program, overLimit: new AbortController().signal, close: async () => undefined };
    },
  };
}
