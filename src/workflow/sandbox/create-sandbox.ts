/**
 * The sandbox that the configuration asks for. There is no falling back from one to another: whoever wants agents to
 * run without a sandbox says so.
 */
import type { SandboxLimits } from "../limits.ts";
import type { Sandbox, SandboxName } from "../sandbox.ts";
import { bubblewrapSandbox } from "./bubblewrap.ts";
import { dockerSandbox } from "./docker.ts";
import { parseDomains } from "./domains.ts";
import { noSandbox } from "./none.ts";

export interface SandboxOptions {
  name: SandboxName;
  limits: SandboxLimits;
  /** As `[sandbox] allow_domains` has them: what `check` looks for depends on whether there are any. */
  allowDomains: readonly string[];
  /** The image for `docker`. */
  dockerImage: string;
  /** Files and folders of Robson's own that no rule may open: database, configuration, .env, log. Absolute. */
  protectedPaths: readonly string[];
}

/** A mistake in the list of domains is a `CONFIG_INVALID` here, before anything runs. */
export function createSandbox(options: SandboxOptions): Sandbox {
  const { name, limits, protectedPaths, allowDomains, dockerImage } = options;
  const needsNetwork = parseDomains(allowDomains).length > 0;
  if (name === "bubblewrap") return bubblewrapSandbox({ limits, protectedPaths, needsNetwork });
  if (name === "docker") return dockerSandbox({ image: dockerImage, limits, protectedPaths });
  return noSandbox();
}
