import type { PoolClient } from 'pg';
import type { Model } from '../model/model';
import type { Projection } from '../model/projection';
import { projectionConsumer } from '../workflows/names';
import { foldEvents } from './project/fold';
import type { ReadModelTable } from '../db/read-model-table';
import { loadRows, writeRows } from './project/rows';
import type { InsideConsumer, StandStill } from './tail';
import { upToUnknown } from './tail/behind-code';
import type { LogEvent } from './tail/read-log';

export interface ProjectPorts {
  readonly model: Model;
  readonly projection: Projection;
  readonly generation: number;
  readonly table: ReadModelTable;
}

/**
 * A projection as a consumer of the log: load the rows a chunk touches, fold in memory, write them set-based.
 * The checkpoint moves in the same transaction, so a second delivery finds it moved and is never folded.
 */
export function makeProjector({ model, projection, generation, table }: ProjectPorts): InsideConsumer {
  return { consumer: projectionConsumer(projection.name), generation, entityTypes: projection.from, apply };

  async function apply(tx: PoolClient, events: readonly LogEvent[]): Promise<readonly StandStill[]> {
    const { known, still } = upToUnknown(model, events, ({ entityType }) => projection.from.includes(entityType));
    const taken = known.filter(({ type }) => projection.events.includes(type)).map((event) => model.lift(event));
    const rows = await loadRows(tx, projection, table, keysToLoad(projection, taken));
    const changed = foldEvents(projection, rows, taken);
    await writeRows(tx, table, changed);
    return still;
  }
}

/** Those whose rows may be there. Where a row is its entity's, one that begins here has none yet. */
function keysToLoad(projection: Projection, events: readonly LogEvent[]): string[] {
  const firsts = new Map<string, LogEvent>();
  for (const event of events) {
    const key = projection.key(event);
    if (!firsts.has(key)) firsts.set(key, event);
  }
  if (!projection.oneEntityPerRow) return [...firsts.keys()];
  return [...firsts].filter(([, { version }]) => version > 1).map(([key]) => key);
}
