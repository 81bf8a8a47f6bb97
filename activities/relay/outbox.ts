import type { Pool } from 'pg';
import type { OutboxMessage } from '../../relay/sink';
import { Fenced } from '../tail/checkpoints';

/** What a relay may do now. */
export interface Standing {
  readonly running: boolean;
  /** `order/10248` of every entity held back for this relay. */
  readonly parked: readonly string[];
  /** Event ids that a person decided to pass over. */
  readonly skipped: ReadonlySet<string>;
  readonly partitions: number;
}

/** Asked before each round. Throws `Fenced` when another relay took over; redriven entities are let go. */
export async function readStanding(db: Pool, consumer: string, epoch: number, redrive: boolean): Promise<Standing> {
  if (redrive) {
    await db.query({
      name: 'relay_redrive',
      text: 'delete from reprise.parked where consumer = $1::text and redrive',
      values: [consumer],
    });
  }
  const { rows } = await db.query<{
    epoch: number;
    running: boolean;
    partitions: number;
    parked: string[];
    skipped: string[];
  }>({
    name: 'relay_standing',
    text: `select max(epoch) as epoch, bool_and(status = 'running') as running, count(*) as partitions,
                  array(select entity_type || '/' || entity_id from reprise.parked where consumer = $1::text) as parked,
                  array(select event_id::text from reprise.skips where consumer = $1::text) as skipped
           from reprise.checkpoints where consumer = $1::text and generation = 0`,
    values: [consumer],
  });
  const row = rows[0];
  if (row?.epoch !== epoch) throw new Fenced(`${consumer} has a newer owner than epoch ${epoch}, or is gone`);
  return { running: row.running, parked: row.parked, skipped: new Set(row.skipped), partitions: row.partitions };
}

/** Of each partition, the offset behind which to read on. */
export type Cursor = ReadonlyMap<number, number>;

/** Of each partition at most so many messages, and bytes; one message at least. */
export interface RoundLimits {
  readonly messages: number;
  readonly bytes: number;
}

// As stored; read without unpacking, as in activities/tail/read-log.ts, which tells why 30.
const BYTES = `pg_column_size(o.message) * case when pg_column_compression(o.message) is null then 1 else 30 end`;

/** The next messages of each partition, in order, without those of parked entities. */
export async function readNext(
  db: Pool,
  sink: string,
  { cursor, parked, limits }: { cursor: Cursor; parked: readonly string[]; limits: RoundLimits },
): Promise<OutboxMessage[]> {
  // The test for parked ones reads every message's JSON: only while there are some.
  const free = parked.length > 0 ? `and o.message ->> 'partitionkey' <> all($6::text[])` : '';
  const { rows } = await db.query<OutboxMessage>({
    name: parked.length > 0 ? 'relay_read_unparked' : 'relay_read',
    text: `select m.partition, m."offset", m.event_id as "eventId", m.topic, m.key,
                  m.message ->> 'partitionkey' as entity, m.message::text as body
           from unnest($2::smallint[], $3::bigint[]) as w (partition, "after")
           cross join lateral (
             select * from (
               select o.*, ${BYTES} as own, sum(${BYTES}) over (order by o."offset", o.topic) as bytes
               from (
                 select o.partition, o."offset", o.event_id, o.topic, o.key, o.message
                 from reprise.outbox o
                 where o.sink = $1::text and o.partition = w.partition and o."offset" > w."after" ${free}
                 order by o."offset", o.topic limit $4::integer
               ) o
             ) counted
             where bytes - own < $5::bigint
             order by "offset", topic
           ) m`,
    values: [
      ...[sink, [...cursor.keys()], [...cursor.values()], limits.messages, limits.bytes],
      ...(parked.length > 0 ? [parked] : []),
    ],
  });
  return rows;
}

/** Removes what the broker has acknowledged. Throws `Fenced` for a zombie: its rows are the new owner's to remove. */
export async function removeAcknowledged(
  db: Pool,
  { consumer, sink, epoch }: { consumer: string; sink: string; epoch: number },
  acknowledged: readonly OutboxMessage[],
): Promise<void> {
  if (acknowledged.length === 0) return;
  const { rows } = await db.query<{ owner: boolean }>({
    name: 'relay_remove',
    text: `with owner as (
             select from reprise.checkpoints
             where consumer = $1::text and generation = 0 and epoch = $2::bigint limit 1
           ), gone as (
             delete from reprise.outbox o
             using unnest($4::smallint[], $5::bigint[], $6::text[]) as a (partition, "offset", topic)
             where exists (select from owner) and o.sink = $3::text and o.partition = a.partition
               and o."offset" = a."offset" and o.topic = a.topic
           )
           select exists (select from owner) as owner`,
    values: [
      consumer,
      epoch,
      sink,
      acknowledged.map(({ partition }) => partition),
      acknowledged.map(({ offset }) => offset),
      acknowledged.map(({ topic }) => topic),
    ],
  });
  if (!rows[0]?.owner) throw new Fenced(`${consumer} has a newer owner than epoch ${epoch}`);
}
