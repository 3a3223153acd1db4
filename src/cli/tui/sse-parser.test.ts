import fc from "fast-check";
import { expect, test } from "vitest";
import { SseParser } from "./sse-parser.ts";

const STREAM = 'id: 7\nevent: process-event\ndata: {"a":\ndata: 1}\n\n: beat\n\ndata:x\n\n';
const MESSAGES = [
  { id: "7", event: "process-event", data: '{"a":\n1}' },
  { id: "7", event: "message", data: "x" },
];

test("fields become messages, comments nothing, and an id holds until the next one", () => {
  expect(new SseParser().push(STREAM)).toEqual(MESSAGES);
});

test("where a chunk ends makes no difference, whatever ends the lines", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(STREAM.length + 12)), fc.constantFrom("\n", "\r\n"), (cuts, lineEnd) => {
      const stream = STREAM.replaceAll("\n", lineEnd);
      const places = [0, ...cuts.sort((a, b) => a - b), stream.length];
      const parser = new SseParser();
      const messages = places.flatMap((place, index) => parser.push(stream.slice(place, places[index + 1])));
      expect(messages).toEqual(MESSAGES);
    }),
  );
});

test("an id without data is where the stream stands, once it has come whole", () => {
  const parser = new SseParser("3");
  parser.push("id: 4\n");
  expect(parser.lastId).toBe("3");
  parser.push("\n");
  expect(parser.lastId).toBe("4");
});

test("what has no end is not kept", () => {
  const parser = new SseParser();
  const line = `data: ${"x".repeat(1024 * 1024)}\n`;
  expect(() => {
    for (let index = 0; index < 10; index += 1) parser.push(line);
  }).toThrow("one has no end");
});
