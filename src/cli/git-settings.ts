/**
 * What the workflow's git gets of the configuration: passwords by host, out of the environment alone, and the rules of
 * each repository.
 */
import type { Config } from "../config/load-config.ts";
import { refusedSetting } from "../config/refused-setting.ts";
import { RobsonError } from "../core/errors.ts";
import { type GitCredential, isUsableToken } from "../workflow/git-credentials.ts";

/** The `[[git_credentials]]` with their tokens; `CONFIG_INVALID` where a variable is not set, or holds no token. */
export function gitCredentials({ gitCredentials, secrets, file }: Config): GitCredential[] {
  return gitCredentials.map(({ host, username, tokenEnv, caFile }, index) => {
    const credential = { host: host.toLowerCase().replace(/:443$/, ""), username, caFile };
    if (tokenEnv === undefined) return credential;
    const token = secrets.gitTokens?.[tokenEnv]?.trim();
    if (token !== undefined && isUsableToken(token)) return { ...credential, token };
    const why = token === undefined ? "is not set" : "holds no token of one line";
    const cause = new RobsonError("CONFIG_INVALID", `the environment variable ${tokenEnv} ${why}`, {
      hint: `Set ${tokenEnv} in the environment of Robson, or in .env, to a token for ${host}`,
    });
    throw refusedSetting(file, { path: ["git_credentials", index, "token_env"], cause });
  });
}
