import { expect, test } from "vitest";
import { camelKeys, toSnakeCase } from "./key-case.ts";

test("keys change their case at every depth, and values stay", () => {
  expect(camelKeys({ max_body_bytes: 1, a: [{ b_c: "d_e" }] })).toEqual({
    maxBodyBytes: 1,
    a: [{ bC: "d_e" }],
  });
  expect(toSnakeCase("maxBodyBytes")).toBe("max_body_bytes");
});
