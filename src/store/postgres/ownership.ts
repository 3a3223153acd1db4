/**
 * Owning a PostgreSQL database: a session advisory lock on a connection of its own, which the server frees when
 * that connection ends; the epoch that fences every write; and LISTEN for the wake-ups of other processes.
 */
import type { Client, Pool } from "pg";
import { RobsonError } from "../../core/errors.ts";
import type { Ownership, StoredDelivery, StoredMessage, UnregisteredWork } from "../../core/store.ts";
import { checkGateway, checkGateways, leaseLost } from "../owner-errors.ts";
import { type DeliveryRow, type MessageRow, toStoredDelivery, toStoredMessage } from "../rows.ts";
import { connect, endClient } from "./connection.ts";
import { toStoreError } from "./errors.ts";
import { PostgresWriter } from "./writer.ts";

/** The advisory lock of the one owner: a class of our own, and the loop in it. */
export const OWNER_LOCK = { classId: 7_626_000, objectId: 1 };
/** The channel on which other processes say that they have written. */
export const WAKE_CHANNEL = "robson_wake";

export interface OwnOptions {
  url: string;
  location: string;
  pool: Pool;
  owner: string;
  gateways: string[];
  now: number;
}

/** Becomes the owner of the database's open work, or throws `ALREADY_RUNNING`. */
export async function own(options: OwnOptions): Promise<Ownership> {
  const { url, location, pool } = options;
  try {
    const client = await connect(url);
    try {
      await takeLock(client, options);
      const { epoch, gatewayIds } = await takeLease(client, options);
      await client.query(`listen ${WAKE_CHANNEL}`);
      return createOwnership({ client, pool, url, location, epoch, gatewayIds });
    } catch (error) {
      await endClient(client);
      throw error;
    }
  } catch (error) {
    throw toStoreError(error, location);
  }
}

/** How the last owner called itself. */
export async function ownerName(db: Pool | Client): Promise<string> {
  const { rows } = await db.query<{ owner: string }>("select owner from leases where name = 'loop'");
  return rows[0]?.owner ?? "another process";
}

async function takeLock(client: Client, { location }: OwnOptions): Promise<void> {
  const { rows } = await client.query<{ taken: boolean }>("select pg_try_advisory_lock($1, $2) as taken", [
    OWNER_LOCK.classId,
    OWNER_LOCK.objectId,
  ]);
  if (rows[0]?.taken) return;
  throw new RobsonError(
    "ALREADY_RUNNING",
    `Cannot take over ${location}: ${await ownerName(client)} is working on it`,
    {
      hint: "Stop that process first, or give this one a database of its own with --db",
    },
  );
}

async function takeLease(client: Client, { owner, gateways, now }: OwnOptions) {
  const lease = await client.query<{ epoch: number }>(
    `insert into leases (name, owner, epoch, acquired_at) values ('loop', $1, 1, $2)
     on conflict (name) do update set owner = $1, epoch = leases.epoch + 1, acquired_at = $2 returning epoch`,
    [owner, now],
  );
  await client.query(
    "insert into gateways (name, created_at) select name, $2 from unnest($1::text[]) as x (name) on conflict do nothing",
    [gateways, now],
  );
  const { rows } = await client.query<{ id: number; name: string }>(
    "select id, name from gateways where name = any ($1::text[])",
    [gateways],
  );
  return { epoch: Number(lease.rows[0]?.epoch), gatewayIds: new Map(rows.map(({ id, name }) => [name, id])) };
}

interface Owned {
  client: Client;
  pool: Pool;
  url: string;
  location: string;
  epoch: number;
  gatewayIds: Map<string, number>;
}

function createOwnership({ client, pool, url, location, epoch, gatewayIds }: Owned): Ownership {
  const idOf = (gateway: string) => Number(gatewayIds.get(gateway));
  const writer = new PostgresWriter({ url, location, epoch, idOf });
  const ours = [...gatewayIds.values()];
  const read = async <Row extends object>(text: string, values: unknown[]): Promise<Row[]> => {
    try {
      return (await pool.query(text, values)).rows;
    } catch (error) {
      throw toStoreError(error, location);
    }
  }; /** What an empty answer does not tell: whether there was nothing, or the epoch was stale. */
  const checkLease = async () => {
    const rows = await read("select from leases where name = 'loop' and epoch = $1", [epoch]);
    if (rows.length === 0) throw leaseLost(location);
  };
  let isReleased = false;
  const checkNotReleased = () => {
    if (isReleased) throw leaseLost(location);
  };
  const lost = Promise.withResolvers<Error>();
  // A connection that breaks says so more than once.
  const lose = (cause?: Error) => {
    if (isReleased) return;
    lost.resolve(
      new RobsonError("LEASE_LOST", `The connection that owns ${location} has ended`, {
        hint: "Start again when the server can be reached; what is open is taken up then",
        ...(cause ? { cause } : {}),
      }),
    );
  };
  client.on("error", lose);
  client.on("end", () => lose());

  return {
    epoch,
    async accept(message, { shard, status, attempts }) {
      checkNotReleased();
      checkGateway(gatewayIds, message.gateway);
      const gatewayId = message.gateway === null ? null : idOf(message.gateway);
      return writer.accept(shard, { message, gatewayId, status, attempts });
    },
    async record(change) {
      checkNotReleased();
      checkGateways(gatewayIds, change);
      return writer.record(change);
    },
    openMessages: async ({ after, limit }): Promise<StoredMessage[]> =>
      (await read<MessageRow>(OPEN_MESSAGES, [ours, after, limit])).map(toStoredMessage),
    async takeUnowned(limit): Promise<StoredMessage[]> {
      checkNotReleased();
      const rows = await read<MessageRow>(TAKE_UNOWNED, [ours, limit, epoch]);
      if (rows.length === 0) await checkLease();
      return rows.map(toStoredMessage);
    },
    openDeliveries: async ({ after, limit }): Promise<StoredDelivery[]> =>
      (await read<DeliveryRow>(OPEN_DELIVERIES, [ours, after, limit])).map(toStoredDelivery),
    wasHinted: async (threadKey) =>
      (await read("select from hinted_threads where thread_key = $1", [threadKey])).length > 0,
    async expireUnregistered(createdBefore): Promise<UnregisteredWork[]> {
      checkNotReleased();
      await read(EXPIRE_DELIVERIES, [ours, createdBefore, epoch]);
      await read(EXPIRE_MESSAGES, [ours, createdBefore, epoch]);
      await checkLease();
      return read<UnregisteredWork>(UNREGISTERED, [ours]);
    },
    onWake: (callback) => void client.on("notification", callback),
    onLost: (callback) => void lost.promise.then(callback),
    async release() {
      if (isReleased) return;
      isReleased = true;
      await writer.close();
      await endClient(client);
    },
  };
}

const MESSAGE_COLUMNS =
  "c.*, g.name as gateway, i.status, i.attempts, i.interruptions, i.next_attempt_at, i.last_error";
const OURS = "(c.gateway_id is null or c.gateway_id = any ($1::int8[]))";
const OPEN = "status in ('pending', 'claimed')";

const OPEN_MESSAGES = `select ${MESSAGE_COLUMNS} from inbox i join conversations c on c.id = i.conversation_id
  left join gateways g on g.id = c.gateway_id where ${OURS} and i.${OPEN} and i.conversation_id > $2
  order by i.conversation_id limit $3`;

const TAKE_UNOWNED = `with i as (update inbox set is_unowned = 0
    where is_unowned = 1 and conversation_id in (
    select i.conversation_id from inbox i join conversations c on c.id = i.conversation_id
    where ${OURS} and i.${OPEN} and i.is_unowned = 1 order by i.conversation_id limit $2)
    and exists (select from leases where name = 'loop' and epoch = $3 for share) returning *)
  select ${MESSAGE_COLUMNS} from i join conversations c on c.id = i.conversation_id
  left join gateways g on g.id = c.gateway_id order by c.id`;

const OPEN_DELIVERIES = `select d.*, g.name as gateway, e.kind, e.content, e.created_at, e.conversation_id,
    c.gateway_channel_id, c.thread_ts, c.user_id, o.name as origin_gateway
  from process_event_deliveries d join gateways g on g.id = d.gateway_id join process_events e on e.id = d.event_id
    join conversations c on c.id = e.conversation_id left join gateways o on o.id = c.gateway_id
  where d.${OPEN} and d.gateway_id = any ($1::int8[]) and d.event_id in (select distinct event_id
    from process_event_deliveries where ${OPEN} and gateway_id = any ($1::int8[]) and event_id > $2
    order by event_id limit $3) order by d.event_id`;

const EXPIRE_DELIVERIES = `update process_event_deliveries d set status = 'dead', next_retry_at = null,
    last_error = coalesce(d.last_error, 'No process ran its gateway in time')
  from process_events e where e.id = d.event_id and e.created_at < $2 and d.${OPEN}
    and d.gateway_id <> all ($1::int8[])
    and exists (select from leases where name = 'loop' and epoch = $3 for share)`;

const EXPIRE_MESSAGES = `update inbox i set status = 'dead', next_attempt_at = null, is_unowned = 0,
    last_error = coalesce(i.last_error, 'No process ran its gateway in time')
  from conversations c where c.id = i.conversation_id and c.created_at < $2 and i.${OPEN}
    and c.gateway_id <> all ($1::int8[])
    and exists (select from leases where name = 'loop' and epoch = $3 for share)`;

const UNREGISTERED = `select g.name as gateway, sum(messages)::int8 as messages, sum(deliveries)::int8 as deliveries
  from (select c.gateway_id, 1 as messages, 0 as deliveries from inbox i
      join conversations c on c.id = i.conversation_id where i.${OPEN} and c.gateway_id <> all ($1::int8[])
    union all select gateway_id, 0, 1 from process_event_deliveries
      where ${OPEN} and gateway_id <> all ($1::int8[])) x join gateways g on g.id = x.gateway_id group by g.name`;
