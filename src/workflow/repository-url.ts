/** Which addresses of repositories are taken, and how they are shown: git must never read one as an option or a program. */
import { isAbsolute } from "node:path";
import { pathToFileURL } from "node:url";
import { RobsonError } from "../core/errors.ts";
import { preview, toStorable } from "../core/text.ts";

/** The longest address of a repository, in UTF-16 units. */
const MAX_URL_LENGTH = 2048;

const HINT = "Use https://host/path, ssh://git@host/path or git@host:path";

/** The address as it is stored, or `REPOSITORY_INVALID`. A path of this machine becomes a `file://` URL. */
export function checkRepositoryUrl(text: string, { allowFileUrls }: { allowFileUrls: boolean }): string {
  const url = text.trim();
  if (url === "") throw refused("it is empty", HINT);
  if (url.length > MAX_URL_LENGTH) throw refused(`it is longer than ${MAX_URL_LENGTH} characters`, HINT);
  if (/[\p{C}\s]/u.test(url) && !isAbsolute(url))
    throw refused("it holds white space or control characters", HINT);
  if (url.startsWith("-")) throw refused(`${shown(url)} starts with a dash`, HINT);
  if (isAbsolute(url)) return checkFileUrl(pathToFileURL(url), allowFileUrls);

  const scp = /^([A-Za-z0-9_][\w.-]*)@([A-Za-z0-9][\w.-]*):(?![-/]*-)[^:]+$/.exec(url);
  if (scp) return url;
  return checkParsedUrl(url, allowFileUrls);
}

/** The text with the credentials of every URL in it removed, fit for logs, errors and answers. */
export function withoutCredentials(text: string): string {
  return text.replace(/([a-z][a-z0-9+.-]*:\/\/)[^\s/@]+@/giu, "$1");
}

function checkParsedUrl(url: string, allowFileUrls: boolean): string {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed === undefined) throw refused(`${shown(url)} is not a URL`, HINT);
  if (parsed.protocol === "file:") return checkFileUrl(parsed, allowFileUrls);
  if (parsed.protocol !== "https:" && parsed.protocol !== "ssh:") {
    throw refused(`${shown(url)} has the scheme "${parsed.protocol}"`, HINT);
  }
  const isWithSecret = parsed.password !== "" || (parsed.protocol === "https:" && parsed.username !== "");
  if (isWithSecret) {
    throw refused(
      "it holds credentials",
      "Leave user and password out; git gets its credentials from the configuration",
    );
  }
  if (
    parsed.hostname.startsWith("-") ||
    parsed.username.startsWith("-") ||
    parsed.pathname.startsWith("/-")
  ) {
    throw refused(`${shown(url)} has a part that starts with a dash`, HINT);
  }
  if (parsed.pathname.length < 2) throw refused(`${shown(url)} names no repository`, HINT);
  return url;
}

function checkFileUrl(url: URL, allowFileUrls: boolean): string {
  if (!allowFileUrls) throw refused("repositories of this machine are not allowed here", HINT);
  if (url.host !== "")
    throw refused(`${shown(url.href)} names a host`, "Write file:///path with three slashes");
  return url.href;
}

function shown(url: string): string {
  return `"${preview(withoutCredentials(toStorable(url)), 100)}"`;
}

function refused(why: string, hint: string): RobsonError {
  return new RobsonError("REPOSITORY_INVALID", `Cannot use this repository: ${why}`, { hint });
}
