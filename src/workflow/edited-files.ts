/** The names of edited files, as agents report them: absolute, relative, or outside of the checkout. */
import { isAbsolute, relative, resolve } from "node:path";

/** The name from the checkout on, or undefined for a file outside of it. */
export function insideCheckout(path: string, directory: string): string | undefined {
  const name = relative(directory, resolve(directory, path));
  return name === "" || name === ".." || name.startsWith("../") || isAbsolute(name) ? undefined : name;
}
