import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, expect, onTestFinished, test } from "vitest";
import { temporaryFolder } from "../../testing/temporary-folder.ts";
import { type DiskLimits, watchDisk } from "./disk-watch.ts";

const MIB = 1024 * 1024;

let folder: string;
beforeEach(async (t) => {
  folder = await temporaryFolder(t);
});

test("folders over their size are reported with the limit and where to raise it", async () => {
  writeFileSync(join(folder, "big"), Buffer.alloc(3 * MIB, 1));

  expect(await reasonOf({ maxDiskMib: 2, minFreeDiskMib: 1, diskCheckMs: 1 })).toMatchObject({
    code: "SANDBOX_LIMIT",
    message: expect.stringContaining("maxDiskMib (2)"),
    hint: expect.stringContaining("sandbox.limits.max_disk_mib"),
  });
});

test("a disk with too little room is reported, however little the program wrote", async () => {
  expect(await reasonOf({ maxDiskMib: 2, minFreeDiskMib: 2 ** 31 - 1, diskCheckMs: 1000_000 })).toMatchObject(
    {
      code: "SANDBOX_LIMIT",
      message: expect.stringMatching(/Only \d+ MiB are free on the disk of .*minFreeDiskMib/),
    },
  );
});

test("nothing is reported after the watch has stopped", () => {
  const watch = watchDisk([folder], { maxDiskMib: 1, minFreeDiskMib: 2 ** 31 - 1, diskCheckMs: 1 });

  watch.stop();
  watch.stop();

  expect(watch.signal.aborted).toBe(false);
});

async function reasonOf(limits: DiskLimits): Promise<unknown> {
  const watch = watchDisk([folder], limits);
  onTestFinished(() => watch.stop());
  await once(watch.signal, "abort");
  return watch.signal.reason;
}
