/** Server-sent events, from chunks of text to messages, as the HTML standard has them. Pure but for what it holds. */
import { RobsonError } from "../../core/errors.ts";

export interface SseMessage {
  id: string;
  event: string;
  data: string;
}

/** One message is no longer than this; content has its own, lower limit. */
const MAX_MESSAGE_LENGTH = 8 * 1024 * 1024;

export class SseParser {
  #buffer = "";
  #id: string;
  #lastId: string;
  #event = "";
  #data: string[] = [];
  #dataLength = 0;

  /** `lastId`: of the stream before, which a message without an id keeps. */
  constructor(lastId = "") {
    this.#id = lastId;
    this.#lastId = lastId;
  }

  /** For `Last-Event-ID`: of what has come whole, with data or without. */
  get lastId(): string {
    return this.#lastId;
  }

  /** The messages that the chunk completes. */
  push(chunk: string): SseMessage[] {
    this.#buffer += chunk;
    const messages: SseMessage[] = [];
    for (;;) {
      const end = /\r\n|\n|\r(?!$)/u.exec(this.#buffer);
      if (end === null) break;
      const message = this.#line(this.#buffer.slice(0, end.index));
      this.#buffer = this.#buffer.slice(end.index + end[0].length);
      if (message) messages.push(message);
    }
    if (this.#buffer.length + this.#dataLength > MAX_MESSAGE_LENGTH) {
      throw new RobsonError("MESSAGE_TOO_LARGE", "Cannot read the stream of events: one has no end", {
        hint: "Is the address that of Robson's own server? Set server.host and server.port in robson.toml",
      });
    }
    return messages;
  }

  #line(line: string): SseMessage | undefined {
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "data") {
      this.#data.push(value);
      this.#dataLength += value.length;
    } else if (field === "event") this.#event = value;
    else if (field === "id" && !value.includes("\0")) this.#id = value;
    return undefined;
  }

  #dispatch(): SseMessage | undefined {
    const [data, event] = [this.#data, this.#event || "message"];
    this.#data = [];
    this.#dataLength = 0;
    this.#event = "";
    this.#lastId = this.#id;
    return data.length === 0 ? undefined : { id: this.#id, event, data: data.join("\n") };
  }
}
