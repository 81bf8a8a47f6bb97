import type { Pool } from 'pg';
import type { ConsumerName } from '../tail';

/** Events of a partition that an owner may have died of: those before `before`, from its checkpoint on. */
export interface Doubt {
  readonly partition: number;
  readonly before: number;
}

/** As far as an owner that died had begun: at most a chunk, and no further than the head of now. */
export async function rangesOfDoubt(
  db: Pool,
  { consumer, generation }: ConsumerName,
  partitions: readonly number[],
  eventsMax: number,
): Promise<readonly Doubt[]> {
  const { rows } = await db.query<Doubt>({
    name: 'consumer_doubt',
    text: `select c.partition, least(p.head + 1, c.next_offset + $4::bigint) as before
           from reprise.checkpoints c join reprise.partitions p using (partition)
           where c.consumer = $1::text and c.generation = $2::integer and c.partition = any($3::smallint[])
             and c.next_offset <= p.head
           order by c.partition`,
    values: [consumer, generation, partitions, eventsMax],
  });
  return rows;
}

/**
 * Before a doubtful partition goes on: counts a try of its next event, if that goes alone. Answers how many there were, this
 * one included; null when nothing is left before the doubt's end, or the partition may not move.
 */
export async function beginTry(
  db: Pool,
  { consumer, generation }: ConsumerName,
  { partition, before }: Doubt,
  alone: boolean,
): Promise<number | null> {
  const { rows } = await db.query<{ tries: number }>({
    name: 'consumer_begin_try',
    text: `update reprise.checkpoints set tries = tries + $5::integer
           where consumer = $1::text and generation = $2::integer and partition = $3::smallint
             and next_offset < $4::bigint and status = 'running' returning tries`,
    values: [consumer, generation, partition, before, alone ? 1 : 0],
  });
  return rows[0]?.tries ?? null;
}

/** Of these events nobody died: what begins behind them is not in doubt. */
export async function endDoubt(
  db: Pool,
  { consumer, generation }: ConsumerName,
  epoch: number,
  partition: number,
): Promise<void> {
  await db.query({
    name: 'consumer_end_doubt',
    text: `update reprise.checkpoints set unfinished = 1
           where consumer = $1::text and generation = $2::integer and epoch = $3::bigint and partition = $4::smallint`,
    values: [consumer, generation, epoch, partition],
  });
}
