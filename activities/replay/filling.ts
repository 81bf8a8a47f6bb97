import type { Pool } from 'pg';
import type { RecordedEvent } from '../../contracts/event';
import type { ReadModelTable } from '../../db/read-model-table';
import type { Model } from '../../model/model';
import type { Projection } from '../../model/projection';
import type { InsideConsumer } from '../tail';
import type { Turn } from '../tail/chunk';
import type { Governor } from './governor';
import type { RowCache } from './row-cache';
import type { Standing } from './standing';

/** What a process has for all it fills of one generation. */
export interface Filling {
  readonly db: Pool;
  readonly model: Model;
  readonly projection: Projection;
  readonly table: ReadModelTable;
  /** The same fold event by event, as the live side applies it: for what fails here. */
  readonly projector: InsideConsumer;
  /** Of everything this run of a slice owns; another run of it fences this one. */
  readonly epoch: number;
  readonly governor: Governor;
  readonly signal: AbortSignal;
  readonly heartbeat: (details: unknown) => void;
}

/** Partitions with one cache over them, and one owner. */
export interface Group extends Filling {
  readonly turn: Turn<InsideConsumer>;
  standing: Standing;
  cache: RowCache;
  /** Folded, and not written yet. */
  unwritten: Unwritten;
}

export interface Unwritten {
  /** Of each partition touched: its checkpoint, and the next offset to fold. */
  readonly strides: Map<number, { readonly from: number; readonly to: number }>;
  readonly poisoned: { readonly event: RecordedEvent; readonly error: unknown }[];
  events: number;
  readonly since: number;
}

export const nothingUnwritten = (): Unwritten => ({
  strides: new Map(),
  poisoned: [],
  events: 0,
  since: performance.now(),
});
