/** Which addresses of repositories are taken, and how they are shown: git must never read one as an option or a program. */
import { isAbsolute } from "node:path";
import { pathToFileURL } from "node:url";
import type { AllowedHosts } from "../core/allowed-hosts.ts";
import { RobsonError } from "../core/errors.ts";
import { preview, toStorable } from "../core/text.ts";
import { checkRepositoryHost } from "./repository-host.ts";

/** The longest address of a repository, in UTF-16 units. */
const MAX_URL_LENGTH = 2048;

const HINT = "Use https://host/path, ssh://git@host/path or git@host:path";

export interface UrlRules {
  /** Whether repositories of this machine (`file://`) may be named. Default: no. */
  allowFileUrls?: boolean | undefined;
  /** Hosts that may be named although their addresses are private, link-local or loopback. Default: none. */
  allowedHosts?: AllowedHosts | undefined;
}

/** The address as it is stored, or `REPOSITORY_INVALID`. A path of this machine becomes a `file://` URL. */
export function checkRepositoryUrl(text: string, { allowFileUrls = false, allowedHosts }: UrlRules): string {
  const url = text.trim();
  if (url === "") throw refused("it is empty", HINT);
  if (url.length > MAX_URL_LENGTH) throw refused(`it is longer than ${MAX_URL_LENGTH} characters`, HINT);
  if (/[\p{C}\s]/u.test(url) && !isAbsolute(url))
    throw refused("it holds white space or control characters", HINT);
  if (url.startsWith("-")) throw refused(`${shown(url)} starts with a dash`, HINT);
  if (isAbsolute(url)) return checkFileUrl(pathToFileURL(url), allowFileUrls);

  const scp = /^([A-Za-z0-9_][\w.-]*)@([A-Za-z0-9][\w.-]*):(?![-/]*-)[^:]+$/.exec(url);
  const checked = scp ? url : checkParsedUrl(url, allowFileUrls);
  checkRepositoryHost(checked, allowedHosts);
  return checked;
}

/** The text with the credentials of every URL in it removed, fit for logs, errors and answers. */
export function withoutCredentials(text: string): string {
  return text.replace(/([a-z][a-z0-9+.-]*:\/\/)[^\s/@]+@/giu, "$1");
}

function checkParsedUrl(url: string, allowFileUrls: boolean): string {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed === undefined) throw notUrl(url, allowFileUrls);
  if (parsed.protocol === "file:") return checkFileUrl(parsed, allowFileUrls);
  if (parsed.protocol !== "https:" && parsed.protocol !== "ssh:") {
    const [, host, path] = /^([a-z0-9][\w-]*\.[\w.-]+):([^/\d:][^:]*)$/i.exec(url) ?? [];
    if (host !== undefined) throw refused(`${shown(url)} names no user`, `Write git@${host}:${path}`);
    throw refused(`${shown(url)} has the scheme "${parsed.protocol}"`, HINT);
  }
  const isWithSecret = parsed.password !== "" || (parsed.protocol === "https:" && parsed.username !== "");
  if (isWithSecret) {
    throw refused(
      "it holds credentials",
      "Leave user and password out: they would be stored with the task. A private repository is reached with a token of [[git_credentials]] in robson.toml, or by ssh, with the key of the user that runs Robson: git@host:path",
    );
  }
  // git decodes what is percent-encoded before it gives the host to ssh.
  if (!/^[\w.[\]:-]+$/.test(parsed.hostname)) throw refused(`${shown(url)} has no plain host name`, HINT);
  if (
    parsed.hostname.startsWith("-") ||
    parsed.username.startsWith("-") ||
    parsed.pathname.startsWith("/-")
  ) {
    throw refused(`${shown(url)} has a part that starts with a dash`, HINT);
  }
  if (parsed.search !== "" || parsed.hash !== "")
    throw refused(`${shown(url)} has a part after ? or #`, HINT);
  if (parsed.pathname.length < 2) throw refused(`${shown(url)} names no repository`, HINT);
  return url;
}

function notUrl(url: string, allowFileUrls: boolean): RobsonError {
  if (!/^[.~]|^[^:]*\//.test(url)) return refused(`${shown(url)} is not a URL`, HINT);
  const where = allowFileUrls ? "" : ", where workflow.allow_file_repositories is set";
  return refused(
    `${shown(url)} is not a URL, and no absolute path`,
    `Of this machine, write the absolute path, as in /srv/project.git${where}. Of other machines: ${HINT}`,
  );
}

function checkFileUrl(url: URL, allowFileUrls: boolean): string {
  if (!allowFileUrls) {
    throw refused(
      "repositories of this machine are not allowed here",
      `Have the operator set workflow.allow_file_repositories = true in robson.toml. Of other machines: ${HINT}`,
    );
  }
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
