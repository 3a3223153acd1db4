/** What the location of a database names: a file (or `sqlite:file`), or a `postgres://` URL. */
import { resolve } from "node:path";
import { RobsonError } from "../core/errors.ts";

export type Location = { kind: "postgres"; url: string } | { kind: "sqlite"; file: string };

/** Throws `STORE_LOCATION_INVALID`. Relative files are in `folder`. */
export function parseLocation(location: string, folder = process.cwd()): Location {
  if (/^postgres(ql)?:\/\//i.test(location)) return { kind: "postgres", url: location };
  const file = location.replace(/^sqlite:(\/\/)?/i, "");
  if (file === "" || file.startsWith(":memory:") || /^[a-z][a-z0-9+.-]+:\/\//i.test(file)) {
    throw new RobsonError("STORE_LOCATION_INVALID", `Cannot open a database at "${file}": it names no file`, {
      hint: 'Give a file such as "robson.db", or a URL that starts with postgres://',
    });
  }
  return { kind: "sqlite", file: resolve(folder, file) };
}
