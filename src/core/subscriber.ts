/**
 * The contract of the subscribers: the callback URLs to which events go that have no target of their own. Each
 * subscriber has a delivery of its own for each event that is stored while it subscribes.
 */
export interface Subscriber {
  id: number;
  callbackUrl: string;
  description: string | null;
  createdAt: number;
}

export interface SubscriberStore {
  /**
   * Adds a subscriber; safe to call twice. One that is there keeps its id, and its description unless a new one
   * is given. Undefined when there are `maxSubscribers` already.
   */
  add(
    subscriber: { callbackUrl: string; description: string | null },
    options: { maxSubscribers: number },
  ): Promise<{ subscriber: Subscriber; isNew: boolean } | undefined>;
  /** All of them, the oldest first. */
  list(): Promise<Subscriber[]>;
  /** Ends a subscription and closes its deliveries that have not arrived. False when there is none of that id. */
  remove(id: number): Promise<boolean>;
}
