import { expect, test } from "vitest";
import { nearest } from "./nearest.ts";

const KNOWN = ["host", "port", "max_body_bytes", "allow_callback_hosts"];

test.each([
  ["prot", "port"],
  ["Port", "port"],
  ["hosts", "host"],
  ["maxBodyBytes", "max_body_bytes"],
  ["max-body-byte", "max_body_bytes"],
  ["allow_callbak_host", "allow_callback_hosts"],
])("%s is taken for %s", (written, meant) => {
  expect(nearest(written, KNOWN)).toBe(meant);
});

test.each(["", "x", "timeout", "database"])("nothing is near %j", (written) => {
  expect(nearest(written, KNOWN)).toBeUndefined();
  expect(nearest(written, [])).toBeUndefined();
});
