import type { Pool, PoolClient } from 'pg';
import type { ConsumerName, StandStill } from '../tail';
import type { LogEvent } from './read-log';

export interface Ownership {
  readonly epoch: number;
  /** Partitions where an earlier owner began and neither moved nor ended: its process died, perhaps of an event. */
  readonly doubtful: readonly number[];
}

export interface Position {
  readonly partition: number;
  readonly nextOffset: number;
}

/** Another owner took over: this one is a zombie, and must write nothing more. */
export class Fenced extends Error {
  override readonly name = 'Fenced';
}

/** Becomes the owner: raises the epoch of every checkpoint, which waits for a chunk under way and fences its writer. */
export async function takeOver(db: Pool, name: ConsumerName): Promise<Ownership> {
  const rows = await raiseEpoch(db, name, { partitions: null, begins: true });
  const epoch = rows[0]?.epoch;
  if (epoch === undefined) {
    throw new Error(
      `${name.consumer} generation ${name.generation} has no checkpoints: run 'reprise migrate' with this model`,
    );
  }
  return { epoch, doubtful: rows.filter(({ unfinished }) => unfinished > 1).map(({ partition }) => partition) };
}

/** The same for some partitions, of which none begins yet. Answers their common epoch; 0 without any. */
export async function takeOverSome(db: Pool, name: ConsumerName, partitions: readonly number[]): Promise<number> {
  const rows = await raiseEpoch(db, name, { partitions, begins: false });
  return rows[0]?.epoch ?? 0;
}

interface RaisedRow {
  readonly epoch: number;
  readonly partition: number;
  readonly unfinished: number;
}

async function raiseEpoch(
  db: Pool,
  { consumer, generation }: ConsumerName,
  { partitions, begins }: { readonly partitions: readonly number[] | null; readonly begins: boolean },
): Promise<RaisedRow[]> {
  const { rows } = await db.query<RaisedRow>({
    name: 'consumer_take_over',
    text: `with mine as (
             select c.partition, max(c.epoch) over () + 1 as epoch from (
               select partition, epoch from reprise.checkpoints
               where consumer = $1::text and generation = $2::integer
                 and ($3::smallint[] is null or partition = any($3::smallint[]))
               order by partition for update
             ) c
           )
           update reprise.checkpoints c
           set epoch = mine.epoch, unfinished = c.unfinished + $4::integer,
               status = case when c.status = 'behind-code' then 'running' else c.status end,
               error = case when c.status = 'behind-code' then null else c.error end
           from mine
           where c.consumer = $1::text and c.generation = $2::integer and c.partition = mine.partition
           returning c.epoch, c.partition, c.unfinished`,
    values: [consumer, generation, partitions, begins ? 1 : 0],
  });
  return rows;
}

/** Partitions of one's own that begin now. Answers those that are doubtful. Throws `Fenced` for a zombie. */
export async function beginTurn(
  db: Pool,
  { consumer, generation }: ConsumerName,
  epoch: number,
  partitions: readonly number[],
): Promise<readonly number[]> {
  const { rows } = await db.query<{ partition: number; unfinished: number }>({
    name: 'consumer_begin_turn',
    text: `update reprise.checkpoints c set unfinished = c.unfinished + 1
           where consumer = $1::text and generation = $2::integer and epoch = $3::bigint
             and partition = any($4::smallint[])
           returning partition, unfinished`,
    values: [consumer, generation, epoch, partitions],
  });
  if (rows.length < partitions.length)
    throw new Fenced(`${consumer} generation ${generation} has a newer owner than epoch ${epoch}`);
  return rows.filter(({ unfinished }) => unfinished > 1).map(({ partition }) => partition);
}

/** A turn that ends, well or by an error that it lived to see, leaves no doubt about any event. */
export async function endTurn(
  db: Pool,
  { consumer, generation }: ConsumerName,
  epoch: number,
  partitions: readonly number[] | null = null,
): Promise<void> {
  await db.query({
    name: 'consumer_end_turn',
    text: `update reprise.checkpoints set unfinished = 0, tries = 0
           where consumer = $1::text and generation = $2::integer and epoch = $3::bigint
             and ($4::smallint[] is null or partition = any($4::smallint[])) and (unfinished > 0 or tries > 0)`,
    values: [consumer, generation, epoch, partitions],
  });
}

// In place of a partition's number.
const GONE = -2;

export const PARKED_MAX = 100;

/** Stops a consumer whose parked entities are more than it may have: something is wrong with all of them. */
export async function stopWhenFull(
  tx: Pick<PoolClient, 'query'>,
  { consumer, generation }: ConsumerName,
  parkedMax: number,
): Promise<void> {
  await tx.query({
    name: 'consumer_parked_full',
    text: `update reprise.checkpoints set status = 'parked-full',
                  error = 'more than ' || $3::integer || ' entities are parked: see reprise parked ls'
           where consumer = $1::text and generation = $2::integer and status = 'running'
             and (select count(*) from reprise.parked
                  where consumer = $1::text and generation = $2::integer) > $3::integer`,
    values: [consumer, generation, parkedMax],
  });
}

/**
 * Where it is behind and allowed to move, most behind last so that a flood in one partition delays no other. Throws `Fenced`
 * when it was removed.
 */
export async function behind(
  db: Pool,
  { consumer, generation }: ConsumerName,
): Promise<{ readonly positions: readonly (Position & { readonly lag: number })[]; readonly redrive: boolean }> {
  const { rows } = await db.query<{ partition: number; next_offset: number; lag: number }>({
    name: 'consumer_behind',
    text: `select c.partition, c.next_offset, p.head + 1 - c.next_offset as lag
           from reprise.checkpoints c join reprise.partitions p using (partition)
           where c.consumer = $1::text and c.generation = $2::integer and c.status = 'running'
             and c.next_offset <= p.head
           union all
           select -1, 0, -1 where exists (
             select from reprise.parked where consumer = $1::text and generation = $2::integer and redrive)
             and exists (
             select from reprise.checkpoints
             where consumer = $1::text and generation = $2::integer and status = 'running')
           union all
           select -2, 0, -2 where not exists (
             select from reprise.checkpoints where consumer = $1::text and generation = $2::integer)
           order by lag, partition`,
    values: [consumer, generation],
  });
  if (rows[0]?.partition === GONE) throw new Fenced(`${consumer} generation ${generation} was removed`);
  const positions = rows.filter(({ partition }) => partition >= 0);
  return {
    positions: positions.map(({ partition, next_offset, lag }) => ({ partition, nextOffset: next_offset, lag })),
    redrive: positions.length < rows.length,
  };
}

/** Locks the checkpoints of these partitions, in order; those paused meanwhile are left out. */
export async function lockPositions(
  tx: PoolClient,
  name: ConsumerName,
  epoch: number,
  partitions: readonly number[],
): Promise<readonly Position[]> {
  return running(await readCheckpoints(tx, name, epoch, { partitions, lock: true }));
}

/** The same without a lock, for work that is done before the checkpoints move. */
export async function readPositions(
  db: Pool,
  name: ConsumerName,
  epoch: number,
  partitions: readonly number[],
): Promise<readonly Position[]> {
  return running(await readCheckpoints(db, name, epoch, { partitions, lock: false }));
}

/** Locks them for work that was done: also those paused meanwhile, whose work would else be done again. */
export async function lockForDone(
  tx: PoolClient,
  name: ConsumerName,
  epoch: number,
  partitions: readonly number[],
): Promise<void> {
  await readCheckpoints(tx, name, epoch, { partitions, lock: true });
}

interface CheckpointRow {
  readonly partition: number;
  readonly next_offset: number;
  readonly epoch: number;
  readonly status: string;
}

async function readCheckpoints(
  db: Pick<PoolClient, 'query'>,
  { consumer, generation }: ConsumerName,
  epoch: number,
  { partitions, lock }: { readonly partitions: readonly number[]; readonly lock: boolean },
): Promise<CheckpointRow[]> {
  const { rows } = await db.query<CheckpointRow>({
    name: lock ? 'consumer_lock_positions' : 'consumer_read_positions',
    text: `select partition, next_offset, epoch, status from reprise.checkpoints
           where consumer = $1::text and generation = $2::integer and partition = any($3::smallint[])
           order by partition ${lock ? 'for update' : ''}`,
    values: [consumer, generation, partitions],
  });
  if (rows.length < partitions.length || rows.some((row) => row.epoch !== epoch)) {
    throw new Fenced(`${consumer} generation ${generation} has a newer owner than epoch ${epoch}, or was removed`);
  }
  return rows;
}

const running = (rows: readonly CheckpointRow[]): Position[] =>
  rows
    .filter((row) => row.status === 'running')
    .map(({ partition, next_offset }) => ({ partition, nextOffset: next_offset }));

export interface Progress {
  readonly positions: readonly Position[];
  readonly events: readonly LogEvent[];
  readonly still: readonly StandStill[];
}

/** Moves the checkpoints past the events applied, up to where the consumer had to stand still. */
export async function advance(
  tx: PoolClient,
  { consumer: { consumer, generation }, inDoubt }: { readonly consumer: ConsumerName; readonly inDoubt?: true },
  { positions, events, still }: Progress,
): Promise<void> {
  const next = new Map(positions.map(({ partition, nextOffset }) => [partition, nextOffset]));
  for (const event of events) next.set(event.partition, event.offset + 1);
  for (const { partition, offset } of still) next.set(partition, offset);
  const reasons = new Map(still.map(({ partition, reason }) => [partition, reason]));
  await tx.query({
    name: 'consumer_advance',
    text: `update reprise.checkpoints c
           set next_offset = n.next_offset, updated_at = clock_timestamp(), tries = 0,
               unfinished = case when $6::boolean then c.unfinished else 0 end,
               status = case when n.reason is null then c.status else 'behind-code' end, error = n.reason
           from unnest($3::smallint[], $4::bigint[], $5::text[]) as n (partition, next_offset, reason)
           where c.consumer = $1::text and c.generation = $2::integer and c.partition = n.partition`,
    values: [
      consumer,
      generation,
      [...next.keys()],
      [...next.values()],
      [...next.keys()].map((partition) => reasons.get(partition) ?? null),
      inDoubt ?? false,
    ],
  });
}
