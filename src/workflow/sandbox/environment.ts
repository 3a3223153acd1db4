/**
 * Which of Robson's own environment a sandboxed program is given: nothing, but for the variables that the operator lists. What
 * belongs to Robson itself cannot be listed.
 */
import { RobsonError } from "../../core/errors.ts";

/** What the listed variables are now; those that are not set are left out. `CONFIG_INVALID` for one that is Robson's. */
export function listedEnvironment(
  names: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
  /** More variables that are Robson's, as the tokens of its git. */
  kept: readonly string[] = [],
): Record<string, string> {
  const listed = names.map((name) => {
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name) || isKept(name) || kept.includes(name)) {
      throw new RobsonError("CONFIG_INVALID", `Cannot hand the variable "${name}" to agents`, {
        hint: "Take it out of sandbox.environment: it belongs to Robson, leads to keys of its user, or is made by the sandbox",
      });
    }
    return [name, environment[name]] as const;
  });
  return Object.fromEntries(listed.filter((entry): entry is [string, string] => entry[1] !== undefined));
}

const LOOPBACK = "localhost,127.0.0.1,::1";

/** What programs that speak HTTP read to find the proxy. Both spellings: each is the only one to somebody. */
export function proxyEnvironment(port: number): Record<string, string> {
  const url = `http://127.0.0.1:${port}`;
  return {
    HTTP_PROXY: url,
    http_proxy: url,
    HTTPS_PROXY: url,
    https_proxy: url,
    ALL_PROXY: url,
    all_proxy: url,
    // A sandbox's loopback is its own: servers of the project's tests, and what `allow_domains` opens there by a port.
    NO_PROXY: LOOPBACK,
    no_proxy: LOOPBACK,
    // Node's own fetch looks at the variables above only then.
    NODE_USE_ENV_PROXY: "1",
  };
}

/**
 * The environment of what is started outside (a shell, bubblewrap), and the rest, which is set inside alone: variables that
 * would have those programs load code.
 */
export function splitEnvironment(environment: Record<string, string>): {
  outside: Record<string, string>;
  inside: Record<string, string>;
} {
  const entries = Object.entries(environment);
  return {
    outside: Object.fromEntries(entries.filter(([name]) => !loadsCode(name))),
    inside: Object.fromEntries(entries.filter(([name]) => loadsCode(name))),
  };
}

function loadsCode(name: string): boolean {
  return /^(LD_|BASH_FUNC_|GLIBC_|GCONV_PATH$|LOCPATH$|BASH_ENV$|ENV$|SHELLOPTS$|PS4$)/.test(name);
}

function isKept(name: string): boolean {
  return (
    /^ROBSON_/i.test(name) ||
    /^LD_/.test(name) ||
    ["SSH_AUTH_SOCK", "SSH_AGENT_PID", "DOCKER_HOST", "DBUS_SESSION_BUS_ADDRESS", "HOME", "PATH"].includes(
      name,
    )
  );
}
