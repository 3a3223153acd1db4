/**
 * Preloaded into an agent (`--import`): its clock goes wrong by what the file of this URL's `?file=` says, in
 * milliseconds, as if someone had set the clock of the machine. Timers go on by the system's own time, as they do then.
 */
import { readFileSync, watch } from "node:fs";

const file = new URL(import.meta.url).searchParams.get("file") ?? "";
const RealDate = globalThis.Date;
let shiftMs = readShift();
watch(file, { persistent: false }, () => {
  shiftMs = readShift();
});

globalThis.Date = class ShiftedDate extends RealDate {
  constructor(...args) {
    super(...(args.length === 0 ? [RealDate.now() + shiftMs] : args));
  }
  static now() {
    return RealDate.now() + shiftMs;
  }
};

function readShift() {
  return Number(readFileSync(file, "utf8"));
}
