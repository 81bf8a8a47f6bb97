import type { Pool } from 'pg';
import type { ConsumerName } from '../tail';
import { Fenced } from './checkpoints';

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
 * one included; null when nothing is left before the doubt's end, or the partition may not move. Throws `Fenced` for a zombie.
 */
export async function beginTry(
  db: Pool,
  { consumer, generation }: ConsumerName,
  { partition, before, epoch }: Doubt & { readonly epoch: number },
  alone: boolean,
): Promise<number | null> {
  const { rows } = await db.query<{ epoch: number; tries: number | null }>({
    name: 'consumer_begin_try',
    text: `with at as (
             select epoch, status, next_offset from reprise.checkpoints
             where consumer = $1::text and generation = $2::integer and partition = $3::smallint for update
           ), begun as (
             update reprise.checkpoints c set tries = c.tries + $6::integer from at
             where c.consumer = $1::text and c.generation = $2::integer and c.partition = $3::smallint
               and at.epoch = $5::bigint and at.status = 'running' and at.next_offset < $4::bigint
             returning c.tries
           )
           select at.epoch, begun.tries from at left join begun on true`,
    values: [consumer, generation, partition, before, epoch, alone ? 1 : 0],
  });
  const [row] = rows;
  if (row?.epoch !== epoch)
    throw new Fenced(`${consumer} generation ${generation} has a newer owner than epoch ${epoch}`);
  return row.tries;
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
