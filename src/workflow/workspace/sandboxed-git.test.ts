import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { git } from "../git.ts";
import { runIn, testSandbox, whyNoBubblewrap } from "../sandbox/sandbox.fixture.ts";
import { startBranch } from "../workspace.ts";
import { openWorld, options } from "./repository.fixture.ts";

const isSkipped = (await whyNoBubblewrap()) !== undefined;

test.skipIf(isSkipped)(
  "in the sandbox the agent's git has its history and commits, and Robson's repositories are out of its reach",
  async (t) => {
    const world = await openWorld(t);
    const workspace = await world.prepare();
    await startBranch(workspace, workspace.branch, options);
    const { checkout, places, readable } = workspace;
    const robson = join(world.folder, "robson");
    mkdirSync(robson);
    const corner = { robson, checkout, home: places.home, neighbour: robson };
    const inSandbox = async (shell: string) =>
      runIn(testSandbox(corner), corner, { command: "sh", args: ["-c", shell], readable });

    const work = await inSandbox(
      "echo x > a.txt; git -c user.name=a -c user.email=a@b commit -qam Mine; git log --format=%s; git status --short",
    );
    const writes = await inSandbox(`touch ${places.mirror}/objects/x ${places.mirror}/x`);
    const looks = await inSandbox(
      `for path in ${places.runs} ${places.own} ${places.mirror}/config ${places.mirror}/HEAD; do test -e "$path" && echo "sees $path"; done; true`,
    );

    expect(work).toMatchObject({ output: "Mine\nA commit\n", exitCode: 0 });
    expect(writes.output).toContain("Read-only file system");
    expect(looks.output).toBe("");
    expect(
      await git(["fsck", "--connectivity-only"], {
        ...options,
        directory: places.folder,
        repository: places.mirror,
      }),
    ).toBe("");
  },
);
