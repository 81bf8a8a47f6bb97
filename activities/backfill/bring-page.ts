import { setImmediate, setTimeout } from 'node:timers/promises';
import type { CommandMessage } from '../../contracts/message';
import type { Backfill } from '../../model/backfill';
import type { Model } from '../../model/model';
import { Contended } from '../commit';
import { byPartition, CHUNK_COMMANDS_MAX, nextChunk, placeOf, type Chunk } from './chunks';
import { mapRow, type Item, type Reject } from './map-row';
import type { Page } from './page';
import type { Wheel } from './steer';

export interface PagePorts {
  readonly model: Model;
  readonly backfill: Backfill;
  readonly partitionOf: (message: CommandMessage) => number;
  /** Of each partition: what is in already, by an attempt before. */
  readonly through: ReadonlyMap<number, number>;
  readonly bringChunk: (chunk: Chunk) => Promise<void>;
  /** As it lies in the database. */
  readonly readThrough: (partition: number) => Promise<number>;
  readonly wheel: Wheel;
  readonly signal: AbortSignal;
}

// Transactions under way at once, each of a partition of its own: one is decided while others are written.
export const LANES = 3;

/** Brings a page in, partition by partition. Null when it was to stop before the end: what is in is known by its places. */
export async function bringPage(page: Page, ports: PagePorts): Promise<readonly Reject[] | null> {
  const { items, rejects } = await mapPage(page, ports);
  const groups = [...byPartition(items, ({ message }) => ports.partitionOf(message))];
  const queue = groups.values();
  let isWhole = true;
  const bringLane = async () => {
    for (const [partition, group] of queue) {
      isWhole = (await bringPartition(partition, group, ports)) && isWhole;
      if (!isWhole) return;
    }
  };
  // All are waited for, also when one fails: none of them may be under way when the next owner begins.
  const lanes = await Promise.allSettled(Array.from({ length: LANES }, bringLane));
  const failed = lanes.find((lane) => lane.status === 'rejected');
  if (failed) throw failed.reason;
  return isWhole ? rejects : null;
}

// A mapping is the project's own, and may be slow: what goes on beside it gets its turn.
const ROWS_WITHOUT_A_BREAK = 200;

async function mapPage({ rows }: Page, { model, backfill }: PagePorts) {
  const items: Item[] = [];
  const rejects: Reject[] = [];
  for (const [at, row] of rows.entries()) {
    const mapped = mapRow(model, backfill, row);
    if ('reject' in mapped) rejects.push(mapped.reject);
    else items.push(...mapped.items);
    if (at % ROWS_WITHOUT_A_BREAK === 0) await setImmediate();
  }
  return { items, rejects };
}

async function bringPartition(partition: number, group: readonly Item[], ports: PagePorts): Promise<boolean> {
  const { through, wheel, signal } = ports;
  const isIn = through.get(partition) ?? 0;
  const items = group.filter((item) => placeOf(item) > isIn);
  for (let from = 0; from < items.length;) {
    const chunk = nextChunk(items, from, wheel.pace.atOnce(CHUNK_COMMANDS_MAX));
    const gone = await wheel.pace.take(chunk.length, AbortSignal.any([signal, wheel.signal]));
    if (!wheel.check() || signal.aborted) return false;
    await bringPatiently({ partition, items: chunk }, ports);
    gone();
    from += chunk.length;
  }
  return true;
}

const PATIENCE = 10;
const PATIENCE_MS = 50;

/** An entity that live commands move all the time is met between two of them, sooner or later. */
async function bringPatiently({ partition, items }: Chunk, { bringChunk, readThrough }: PagePorts): Promise<void> {
  let left = items;
  for (let attempt = 1; left.length > 0; attempt++) {
    try {
      await bringChunk({ partition, items: left });
      return;
    } catch (error) {
      if (!(error instanceof Contended) || attempt === PATIENCE) throw error;
      await setTimeout(Math.random() * PATIENCE_MS);
      // The first part of it may be in.
      const isIn = await readThrough(partition);
      left = items.filter((item) => placeOf(item) > isIn);
    }
  }
}
