import type { Pool, PoolClient } from 'pg';
import type { ConsumerName } from '../tail';

/** By partition, the next offset to apply. */
export type Places = ReadonlyMap<number, number>;

interface PlaceRow {
  readonly partition: number;
  readonly next: number;
}

type Db = Pick<Pool | PoolClient, 'query'>;

const toPlaces = (rows: readonly PlaceRow[]): Places => new Map(rows.map(({ partition, next }) => [partition, next]));

/** Where a generation stands. */
export async function readPlaces(db: Db, { consumer, generation }: ConsumerName): Promise<Places> {
  const { rows } = await db.query<PlaceRow>({
    name: 'replay_places',
    text: `select partition, next_offset as next from reprise.checkpoints
           where consumer = $1::text and generation = $2::integer order by partition`,
    values: [consumer, generation],
  });
  return toPlaces(rows);
}

/** Behind the last event of now. */
export async function readHeads(db: Db): Promise<Places> {
  const { rows } = await db.query<PlaceRow>('select partition, head + 1 as next from reprise.partitions');
  return toPlaces(rows);
}

/** Where the active generation stands, and stays until the transaction ends: its consumer waits. */
export async function lockActive(tx: PoolClient, consumer: string): Promise<Places> {
  const { rows } = await tx.query<PlaceRow>(
    'select partition, next_offset as next from reprise.lock_active($1::text)',
    [consumer],
  );
  return toPlaces(rows);
}

export interface Lack {
  readonly partition: number;
  /** Events that one lacks and the other has. */
  readonly lag: number;
}

export function lackOf(one: Places, other: Places): readonly Lack[] {
  return [...other]
    .map(([partition, next]) => ({ partition, lag: next - (one.get(partition) ?? 1) }))
    .filter(({ lag }) => lag > 0);
}

export const sumOf = (lacks: readonly Lack[]): number => lacks.reduce((sum, { lag }) => sum + lag, 0);

/** Events that were applied to come there. */
export const eventsBefore = (places: Places): number => [...places.values()].reduce((sum, next) => sum + next - 1, 0);
