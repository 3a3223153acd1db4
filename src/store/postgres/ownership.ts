/**
 * Owning a part of a PostgreSQL database: the shards that the cluster leaves to this process (membership.ts), and
 * the statements about them. Every write asks for the process's row in `processes`, its right to write.
 */
import type { Client, Pool } from "pg";
import { systemClock } from "../../core/clock.ts";
import type {
  Ownership,
  OwnOptions,
  StopRequest,
  StoredMessage,
  UnregisteredWork,
} from "../../core/store.ts";
import { checkGateway, checkGateways, leaseLost } from "../owner-errors.ts";
import { type MessageRow, toStoredMessage } from "../rows.ts";
import { endRunsOfTheDead, hasRunSince } from "../run-ends.ts";
import { isBehindPooler } from "./connection.ts";
import { toStoreError } from "./errors.ts";
import { Membership } from "./membership.ts";
import { MESSAGE_COLUMNS, OPEN, OUR_MESSAGES, readOpenDeliveries, readOpenMessages } from "./open-pages.ts";
import { readPeers } from "./peers.ts";
import { repeating } from "./repeat.ts";
import { Unowned } from "./unowned.ts";
import { PostgresWriter } from "./writer.ts";

export interface PostgresOwnOptions extends OwnOptions {
  url: string;
  location: string;
  pool: Pool;
}

/** Where whoever owns does not say so: no gateway for one listener, no workers, 10 s, the system's clock. */
const DEFAULTS = { exclusiveGateways: [], workers: "", leaseMs: 10_000, clock: systemClock };

/** Joins the processes that own the database's open work. Whoever gets too few connections to write leaves again. */
export async function own(options: PostgresOwnOptions): Promise<Ownership> {
  try {
    const hasPooler = await isBehindPooler(options.pool);
    const membership = await Membership.join({ ...DEFAULTS, ...options });
    const { processId: epoch, gatewayIds } = membership;
    const idOf = (gateway: string) => Number(gatewayIds.get(gateway));
    const writer = new PostgresWriter({ ...options, epoch, hasPooler, idOf });
    const ownership = createOwnership(membership, { ...options, writer, idOf });
    await writer.open().catch((error) => ownership.release().then(() => Promise.reject(error)));
    return ownership;
  } catch (error) {
    throw toStoreError(error, options.location);
  }
}

/** How those who own the database now call themselves, in the order of their joining. */
export async function ownerNames(db: Pool | Client): Promise<string[]> {
  const alive = (await readPeers(db)).filter(({ lost_lock, is_expired }) => !(lost_lock || is_expired));
  return alive.map(({ name }) => name);
}

interface OwnershipParts extends PostgresOwnOptions {
  writer: PostgresWriter;
  idOf(gateway: string): number;
}

function createOwnership(
  membership: Membership,
  { pool, location, writer, idOf }: OwnershipParts,
): Ownership {
  const { processId: epoch, gatewayIds } = membership;
  /** Also what writes in one statement. */
  const read = async <Row extends object>(text: string, values: unknown[]): Promise<Row[]> => {
    try {
      return (await repeating(() => pool.query(text, values))).rows;
    } catch (error) {
      throw toStoreError(error, location);
    }
  };
  /** What an empty answer does not tell: whether there was nothing, or the right to write is gone. */
  const checkLease = async () => {
    const rows = await read("select from processes where id = $1", [epoch]);
    if (rows.length === 0) throw leaseLost(location);
  };
  const unowned = new Unowned({
    read: (limit) => writer.ask<MessageRow & { version: string }>(UNOWNED, [epoch, limit]),
    hide: async (rows) => {
      await writer.ask(HIDE, [epoch, rows.map(({ id }) => id), rows.map(({ version }) => version)]);
    },
  });
  let isReleased = false;
  const checkNotReleased = () => {
    if (isReleased) throw leaseLost(location);
  };

  return {
    epoch,
    async accept(message, placement) {
      checkNotReleased();
      checkGateway(gatewayIds, message.gateway);
      const gatewayId = message.gateway === null ? null : idOf(message.gateway);
      return writer.accept(placement.shard, { message, gatewayId, placement });
    },
    async record(change) {
      checkNotReleased();
      checkGateways(gatewayIds, change);
      return writer.record(change);
    },
    openMessages: (page) => readOpenMessages({ pool, location, processId: epoch, ...page }),
    async takeUnowned(limit): Promise<StoredMessage[]> {
      checkNotReleased();
      const rows = await unowned.take(limit);
      if (rows.length === 0) await checkLease();
      return rows.map(toStoredMessage);
    },
    stopRequests: (limit) => read<StopRequest>(STOP_REQUESTS, [epoch, limit]),
    openDeliveries: (page) => readOpenDeliveries({ pool, location, processId: epoch, ...page }),
    async wakeDue(now) {
      checkNotReleased();
      const woken = await read(WAKE_DUE, [epoch, now]);
      if (woken.length === 0) await checkLease();
      return woken.length;
    },
    wasHinted: async (threadKey) =>
      (await read("select from hinted_threads where thread_key = $1", [threadKey])).length > 0,
    async expireUnregistered(createdBefore): Promise<UnregisteredWork[]> {
      checkNotReleased();
      await read(EXPIRE_DELIVERIES, [epoch, createdBefore]);
      await read(EXPIRE_MESSAGES, [epoch, createdBefore]);
      await read(END_EXPIRED_RUNS, [epoch]);
      await checkLease();
      return read<UnregisteredWork>(UNREGISTERED, []);
    },
    onWake: (callback) => membership.onWake(callback),
    onLost: (callback) => membership.onLost(callback),
    onReach: (callback) => membership.onReach(callback),
    holds: (gateway, shard) => membership.holds(gateway, shard),
    shards: () => membership.shards(),
    onShards: (callback) => membership.onShards(callback),
    letGo: (keys) => membership.letGo(keys).catch((error) => Promise.reject(toStoreError(error, location))),
    retire: () => membership.retire().catch((error) => Promise.reject(toStoreError(error, location))),
    async release() {
      if (isReleased) return;
      isReleased = true;
      await writer.close();
      await membership.leave();
    },
  };
}

/** $1: the process. */
const MINE = "l.process_id = $1 and l.shard = c.shard";
const FENCE = "exists (select from processes where id = $1 for key share)";
const RUN_SOMEWHERE = "(select unnest(gateway_ids) from processes)";

export const UNOWNED = {
  name: "robson_unowned",
  text: `select ${MESSAGE_COLUMNS}, i.xmin::text as version ${OUR_MESSAGES} and i.is_unowned = 1
    and exists (select from processes where id = $1) order by i.conversation_id limit $2`,
};

/**
 * Waits for no lock: what someone is writing at this moment is another version soon, and his writes never wait for two
 * of ours. No flush is waited for: what is lost with the server is hidden once more, or written by its owner.
 */
export const HIDE = {
  name: "robson_hide",
  text: `with hidden as (update inbox set is_unowned = 0 where ${FENCE} and conversation_id in (
    select i.conversation_id from inbox i join unnest($2::int8[], $3::text[]) as x (id, version)
    on i.conversation_id = x.id where i.xmin::text = x.version for update of i skip locked) returning 1)
  select count(*), set_config('synchronous_commit', 'off', true) from hidden`,
};

/** Locks in the order in which whoever tells of an event does: the other way round each would wait for the other. */
const WAKE_DUE = `update inbox set status = 'pending', is_unowned = 1, next_attempt_at = null
  where status = 'waiting' and conversation_id in (
    select i.conversation_id from inbox i join conversations c on c.id = i.conversation_id
    join shard_leases l on l.gateway_id = coalesce(c.gateway_id, 0) and ${MINE}
    where i.status = 'waiting' and i.next_attempt_at <= $2 order by i.conversation_id for update of i)
    and ${FENCE} returning conversation_id`;

const STOP_REQUESTS = `select i.conversation_id as "conversationId", i.stopped_by as by
  from inbox i join conversations c on c.id = i.conversation_id
  join shard_leases l on l.gateway_id = coalesce(c.gateway_id, 0) and ${MINE}
  where i.${OPEN} and i.is_unowned = 1 and i.stopped_by is not null order by i.conversation_id limit $2`;

const EXPIRE_DELIVERIES = `update process_event_deliveries d set status = 'dead', next_retry_at = null,
    last_error = coalesce(d.last_error, 'No process ran its gateway in time')
  from process_events e where e.id = d.event_id and e.created_at < $2 and d.${OPEN}
    and d.gateway_id not in ${RUN_SOMEWHERE} and ${FENCE}`;

const EXPIRE_MESSAGES = `update inbox i set status = 'dead', next_attempt_at = null, is_unowned = 0,
    last_error = coalesce(i.last_error, 'No process ran its gateway in time')
  from conversations c where c.id = i.conversation_id and c.created_at < $2 and i.${OPEN}
    and c.gateway_id not in ${RUN_SOMEWHERE} and not ${hasRunSince("$2")} and ${FENCE}`;

const END_EXPIRED_RUNS = `${endRunsOfTheDead("(extract(epoch from now()) * 1000)::bigint")} and ${FENCE}`;

const UNREGISTERED = `select g.name as gateway, sum(messages)::int8 as messages, sum(deliveries)::int8 as deliveries
  from (select c.gateway_id, 1 as messages, 0 as deliveries from inbox i
      join conversations c on c.id = i.conversation_id where i.${OPEN} and c.gateway_id not in ${RUN_SOMEWHERE}
    union all select gateway_id, 0, 1 from process_event_deliveries
      where ${OPEN} and gateway_id not in ${RUN_SOMEWHERE}) x join gateways g on g.id = x.gateway_id group by g.name`;
