/**
 * Git's credential helper, a program of its own: `credential-helper.ts get`. Git says on stdin for which host it needs
 * a password (https://git-scm.com/docs/git-credential#IOFMT). The answer is for the one host that Robson has
 * started git for, over https; to anything else, and to `store` and `erase`, it says nothing.
 */
import { text } from "node:stream/consumers";
import { HELPER_VARIABLES } from "./git-credentials.ts";

if (process.argv[2] === "get") process.stdout.write(answerTo(await text(process.stdin)));

function answerTo(question: string): string {
  const asked = new Map(
    question.split("\n").map((line) => {
      const [name = "", ...value] = line.split("=");
      return [name, value.join("=")] as const;
    }),
  );
  const { [HELPER_VARIABLES.host]: host, [HELPER_VARIABLES.username]: username } = process.env;
  const token = process.env[HELPER_VARIABLES.token];
  const isMeant = host !== undefined && asked.get("protocol") === "https" && asked.get("host") === host;
  return isMeant && token !== undefined ? `username=${username ?? ""}\npassword=${token}\nquit=1\n` : "";
}
