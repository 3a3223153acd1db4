import { expect, test } from "vitest";
import { redactor } from "./redact.ts";

test("a secret is taken out wherever it stands, also as JSON, URLs and base64 carry it", () => {
  const secret = 'sk-a"b/c d\nline';
  const redact = redactor([secret]);

  for (const form of [secret, JSON.stringify(secret), encodeURIComponent(secret), btoa(secret)]) {
    const clean = redact(`before ${form} after`);
    expect(clean).toContain("[redacted]");
    expect(clean).not.toContain("sk-a");
  }
});

test("a secret that begins with another one leaves nothing of itself", () => {
  expect(redactor(["12345678", "12345678-rest"])("x 12345678-rest y 12345678")).toBe(
    "x [redacted] y [redacted]",
  );
});

test("a value too short to be a secret is left alone", () => {
  expect(redactor(["", "main"])("the main branch")).toBe("the main branch");
});
