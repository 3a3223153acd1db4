import { expect, test } from "vitest";
import { possiblePlaces } from "./control-group.ts";

const VERSION_2 = "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate";
const VERSION_1 = [
  "30 23 0:27 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids",
  "31 23 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory",
  "32 23 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw",
].join("\n");

test("in version 2, groups are made in our own place or beside it", () => {
  const own = "/user.slice/user-1000.slice/user@1000.service/app.slice/robson.service";

  expect(possiblePlaces(`0::${own}\n`, VERSION_2)).toEqual([
    { folder: `/sys/fs/cgroup${own}`, version: 2, controllers: ["pids", "memory"] },
    {
      folder: "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/app.slice",
      version: 2,
      controllers: ["pids", "memory"],
    },
  ]);
});

test("in version 1, each limit has a tree of its own", () => {
  const memberships = "8:pids:/\n5:devices:/\n4:memory:/a/b\n1:name=systemd:/\n";

  expect(possiblePlaces(memberships, VERSION_1)).toEqual([
    { folder: "/sys/fs/cgroup/pids", version: 1, controllers: ["pids"] },
    { folder: "/sys/fs/cgroup/memory/a/b", version: 1, controllers: ["memory"] },
  ]);
});

test("a place outside of what is mounted here is none", () => {
  expect(possiblePlaces("0::/../other\n8:pids:/../x\n", `${VERSION_2}\n${VERSION_1}`)).toEqual([]);
  expect(possiblePlaces("0::/\n", "")).toEqual([]);
});
