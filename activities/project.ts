import type { PoolClient } from 'pg';
import type { Model } from '../model/model';
import type { Projection } from '../model/projection';
import { projectionConsumer } from '../workflows/names';
import { foldEvents } from './project/fold';
import type { ReadModelTable } from '../db/read-model-table';
import { loadRows, writeRows } from './project/rows';
import type { LogConsumer, StandStill } from './tail';
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
export function makeProjector({ model, projection, generation, table }: ProjectPorts): LogConsumer {
  return { consumer: projectionConsumer(projection.name), generation, apply };

  async function apply(tx: PoolClient, events: readonly LogEvent[]): Promise<readonly StandStill[]> {
    const { taken, still } = liftEvents(events);
    const keys = [...new Set(taken.map((event) => projection.key(event)))];
    const rows = await loadRows(tx, projection, table, keys);
    const changed = foldEvents(projection, rows, taken);
    await writeRows(tx, table, changed);
    return still;
  }

  /** The events it folds, lifted; from an event that only newer code knows on, that partition stands still. */
  function liftEvents(events: readonly LogEvent[]): { taken: LogEvent[]; still: StandStill[] } {
    const taken: LogEvent[] = [];
    const still = new Map<number, StandStill>();
    for (const event of events) {
      if (still.has(event.partition) || !projection.from.includes(event.entityType)) continue;
      const reason = unknownToThisCode(event);
      if (reason) still.set(event.partition, { partition: event.partition, offset: event.offset, reason });
      else if (projection.events.includes(event.type)) {
        taken.push({ ...event, data: model.decode(event.type, event.schemaVersion, event.data) });
      }
    }
    return { taken, still: [...still.values()] };
  }

  function unknownToThisCode({ type, schemaVersion, eventId }: LogEvent): string | null {
    const contract = model.event(type);
    if (contract && schemaVersion <= contract.version) return null;
    return `event ${eventId} is ${type} version ${schemaVersion}, which this code does not know: deploy the newer worker`;
  }
}
