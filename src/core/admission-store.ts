/** What the loop asks of the database before it accepts a message; a part of the contract in store.ts. */

export interface AdmissionStore {
  /** How many messages are open, counted no further than `atMost`. Costs as much as there are. */
  countOpen(atMost: number): Promise<number>;
  /** Whether the channel is on the allow list of its gateway. */
  isAllowed(channel: Channel): Promise<boolean>;
  /**
   * Counts one request of each subject in its window, in their order, up to the first that is beyond its `max`, and
   * says how each that was counted stands. Atomic, however many processes count at once.
   */
  countRequest(
    subjects: readonly RateSubject[],
    window: { now: number; windowMs: number },
  ): Promise<RateCount[]>;
}

export interface Channel {
  gateway: string;
  channelId: string;
}

/** Whose requests are counted together. */
export interface RateSubject {
  scope: string;
  subject: string;
  max: number;
}

export interface RateCount {
  /** This one included. */
  count: number;
  windowStartedAt: number;
}

/** What a person does with the allow lists. */
export interface AllowList {
  /** Of one gateway, or of all; in the order of gateway and channel. */
  list(gateway?: string): Promise<(Channel & { createdAt: number })[]>;
  /** False when it was there. */
  add(channel: Channel): Promise<boolean>;
  /** False when it was not there. */
  remove(channel: Channel): Promise<boolean>;
}
