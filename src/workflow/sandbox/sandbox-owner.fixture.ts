/** A stand-in for Robson, to be killed: starts an endless program in a sandbox, with a way out, and says so. */
import { DEFAULT_SANDBOX_LIMITS } from "../limits.ts";
import { bubblewrapSandbox } from "./bubblewrap.ts";
import { startWrapped } from "./sandbox.fixture.ts";

const [checkout = "", home = ""] = process.argv.slice(2);
const sandbox = bubblewrapSandbox({ limits: DEFAULT_SANDBOX_LIMITS, protectedPaths: [], needsNetwork: true });
const wrapped = await sandbox.wrap(
  {
    command: "sh",
    args: ["-c", "trap '' HUP TERM INT; setsid sleep 600 & echo ready; sleep 600"],
    directory: checkout,
    environment: { PATH: "/usr/bin:/bin", HOME: home },
  },
  { writable: [checkout, home], readable: [], allowedDomains: ["example.org"] },
);
startWrapped(wrapped).stdout?.pipe(process.stdout);
