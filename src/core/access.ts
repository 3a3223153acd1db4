/**
 * Who is heard: the allow list of a gateway's channels, and how many messages one user, and one channel, may send in a
 * window. Nothing is asked where nothing is configured. Counted in the database, for all processes together; what is
 * known to be refused until the end of its window is remembered here, so that a flood costs nothing.
 */
import type { AdmissionStore, RateCount, RateSubject } from "./admission-store.ts";
import type { Clock } from "./clock.ts";
import { RobsonError, TryLaterError } from "./errors.ts";
import type { Gateway } from "./gateway.ts";
import { limitText, notListedText } from "./help.ts";
import type { Logger } from "./logger.ts";
import { threadKey } from "./shards.ts";
import type { NewMessage } from "./store.ts";

/** What `robson.toml` says under `[access]`. */
export interface AccessRules {
  /** Gateways that hear only the channels on their allow list, beside those that are public. */
  listedGateways: readonly string[];
  /** Public gateways that hear every channel all the same. */
  openGateways: readonly string[];
  /** How many messages one user may send through one gateway in a window. Default: as many as he likes. */
  maxUserMessages?: number | undefined;
  /** The same for one channel. */
  maxChannelMessages?: number | undefined;
  windowSeconds: number;
}

export const OPEN_ACCESS: AccessRules = { listedGateways: [], openGateways: [], windowSeconds: 60 };

export interface AccessOptions {
  store: Pick<AdmissionStore, "isAllowed" | "countRequest">;
  rules: AccessRules;
  gateways: ReadonlyMap<string, Gateway>;
  clock: Clock;
  log: Logger;
}

export interface Refusal {
  /** What `accept` rejects with. */
  error: RobsonError;
  /** Where set, the message is stored and answered with this instead, because its asker does not see the error. */
  answer?: string;
}

/** For how long what the allow list says is believed. */
const LIST_MAX_AGE_MS = 1000;
/** How often a channel that is not on the list is told so. */
const TELL_EVERY_MS = 3_600_000;
/** How many channels and subjects are remembered at once. */
const MAX_REMEMBERED = 10_000;

export class Access {
  readonly #options: AccessOptions;
  /** By gateway and channel. */
  readonly #listed = new Map<string, { isAllowed: boolean; until: number }>();
  /** Until when what is refused, by scope and subject. */
  readonly #refusedUntil = new Map<string, number>();
  /** The last message of a thread that is being looked at: the next one waits, so that they keep their order. */
  readonly #turns = new Map<string, Promise<void>>();

  constructor(options: AccessOptions) {
    this.#options = options;
  }

  /** Whether, and how, a message is refused; undefined at once where there is nothing to ask. */
  ask(message: NewMessage, { isControl }: { isControl: boolean }): Promise<Refusal | undefined> | undefined {
    const subjects = isControl ? [] : this.#subjectsOf(message);
    if (subjects.length === 0 && !this.#isListed(message.gateway)) return undefined;
    return this.#inTurn(threadKey(message), () => this.#ask(message, subjects));
  }

  /** Whether a message that was accepted earlier may be worked on: its channel may have left the list. */
  mayBeWorkedOn({ gateway, channelId }: NewMessage): true | Promise<boolean> {
    return gateway !== null && this.#isListed(gateway) ? this.#isAllowed({ gateway, channelId }) : true;
  }

  #isListed(gateway: string | null): boolean {
    if (gateway === null) return false;
    const { rules, gateways } = this.#options;
    if (rules.listedGateways.includes(gateway)) return true;
    return gateways.get(gateway)?.isPublic === true && !rules.openGateways.includes(gateway);
  }

  #subjectsOf({ gateway, userId, channelId }: NewMessage): RateSubject[] {
    const { gateways, rules } = this.#options;
    const { maxUserMessages, maxChannelMessages } = rules;
    if (gateways.get(gateway ?? "")?.isLocal) return [];
    const subjects: RateSubject[] = [];
    if (maxUserMessages !== undefined)
      subjects.push({ scope: "user", subject: JSON.stringify([gateway, userId]), max: maxUserMessages });
    if (maxChannelMessages !== undefined)
      subjects.push({
        scope: "channel",
        subject: JSON.stringify([gateway, channelId]),
        max: maxChannelMessages,
      });
    return subjects;
  }

  async #inTurn<T>(thread: string, ask: () => Promise<T>): Promise<T> {
    const asked = (this.#turns.get(thread) ?? Promise.resolve()).then(ask);
    const turn = asked.then(
      () => undefined,
      () => undefined,
    );
    this.#turns.set(thread, turn);
    try {
      return await asked;
    } finally {
      if (this.#turns.get(thread) === turn) this.#turns.delete(thread);
    }
  }

  async #ask(message: NewMessage, subjects: RateSubject[]): Promise<Refusal | undefined> {
    const { gateway, channelId } = message;
    if (gateway === null) return undefined;
    if (this.#isListed(gateway) && !(await this.#isAllowed({ gateway, channelId })))
      return this.#notListed(message, gateway);
    return subjects.length === 0 ? undefined : this.#count(message, subjects);
  }

  async #isAllowed(channel: { gateway: string; channelId: string }): Promise<boolean> {
    const { clock, store } = this.#options;
    const key = JSON.stringify([channel.gateway, channel.channelId]);
    const known = this.#listed.get(key);
    if (known && clock.now() < known.until) return known.isAllowed;
    const isAllowed = await store.isAllowed(channel);
    remember(this.#listed, key, { isAllowed, until: clock.now() + LIST_MAX_AGE_MS });
    return isAllowed;
  }

  async #notListed(message: NewMessage, gateway: string): Promise<Refusal> {
    const { channelId } = message;
    const error = new RobsonError(
      "CHANNEL_NOT_ALLOWED",
      `Cannot accept a message: channel "${channelId}" is not on the allow list of gateway "${gateway}"`,
      { hint: `Whoever runs Robson adds it with: robson allow add ${gateway} ${channelId}` },
    );
    const subject = { scope: "not-listed", subject: JSON.stringify([gateway, channelId]), max: 0 };
    const isFirst = (await this.#countBeyond(subject, TELL_EVERY_MS)) === 1;
    return this.#refusal(message, { error, isFirst, text: notListedText({ gateway, channelId }) });
  }

  async #count(message: NewMessage, subjects: RateSubject[]): Promise<Refusal | undefined> {
    const { store, clock, rules } = this.#options;
    const windowMs = rules.windowSeconds * 1000;
    const now = clock.now();
    const known = subjects.find((each) => this.#isRefused(each));
    if (known) return this.#tooMany(message, { subject: known, isFirst: false });
    const counts = await store.countRequest(subjects, { now, windowMs });
    const beyond = subjects.find((subject, index) => (counts[index]?.count ?? 0) > subject.max);
    const count = beyond && counts[subjects.indexOf(beyond)];
    if (!beyond || !count) return undefined;
    this.#refuse(beyond, { ...count, windowMs });
    return this.#tooMany(message, { subject: beyond, isFirst: count.count === beyond.max + 1 });
  }

  #tooMany(message: NewMessage, { subject, isFirst }: { subject: RateSubject; isFirst: boolean }): Refusal {
    const { rules, clock } = this.#options;
    const isUser = subject.scope === "user";
    const limit = isUser ? "maxUserMessages" : "maxChannelMessages";
    const key = isUser ? "max_user_messages" : "max_channel_messages";
    const whose = isUser ? `user "${message.userId}"` : `channel "${message.channelId}"`;
    const retryAfterMs = Math.max(1000, (this.#refusedUntil.get(keyOf(subject)) ?? 0) - clock.now());
    const seconds = Math.ceil(retryAfterMs / 1000);
    const error = new TryLaterError(
      "RATE_LIMITED",
      `Cannot accept a message: ${limit} (${subject.max} in ${rules.windowSeconds} s) have come from ${whose}`,
      { hint: `Send it again in ${seconds} s; the limit is access.${key} in robson.toml`, retryAfterMs },
    );
    const { max } = subject;
    const text = limitText({ max, isUser, windowSeconds: rules.windowSeconds, waitSeconds: seconds });
    return this.#refusal(message, { error, isFirst, text });
  }

  /** Said once in a window, in the log and to an asker who would not hear of it otherwise. */
  #refusal(
    { gateway, channelId, userId, isAddressed }: NewMessage,
    { error, isFirst, text }: { error: RobsonError; isFirst: boolean; text: string },
  ): Refusal {
    const { log, gateways } = this.#options;
    const level = isFirst ? "warn" : "debug";
    log[level]({ gateway, channelId, userId, code: error.code, error: error.message }, "message refused");
    const isTold = gateways.get(gateway ?? "")?.showsRefusals === true || !isAddressed || !isFirst;
    return isTold ? { error } : { error, answer: text };
  }

  /** How many have been refused in the window, this one included; 0 where it is known that it is not the first. */
  async #countBeyond(subject: RateSubject, windowMs: number): Promise<number> {
    if (this.#isRefused(subject)) return 0;
    const now = this.#options.clock.now();
    const [counted] = await this.#options.store.countRequest([subject], { now, windowMs });
    if (!counted) return 0;
    this.#refuse(subject, { ...counted, windowMs });
    return counted.count;
  }

  #isRefused(subject: RateSubject): boolean {
    return this.#options.clock.now() < (this.#refusedUntil.get(keyOf(subject)) ?? 0);
  }

  #refuse(subject: RateSubject, { windowStartedAt, windowMs }: RateCount & { windowMs: number }): void {
    remember(this.#refusedUntil, keyOf(subject), windowStartedAt + windowMs);
  }
}

function keyOf({ scope, subject }: RateSubject): string {
  return `${scope} ${subject}`;
}

/** What is forgotten is asked again. */
function remember<T>(map: Map<string, T>, key: string, value: T): void {
  if (map.size >= MAX_REMEMBERED) map.clear();
  map.set(key, value);
}
