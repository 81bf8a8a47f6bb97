import type { RecordedEvent } from '../../contracts/event';
import type { Projection, ProjectionRow } from '../../model/projection';

/** Rows by key as they are to be written; `null` where a row is to be removed. */
export type ChangedRows = ReadonlyMap<string, ProjectionRow | null>;

/** Folds events into rows, in the order given. Pure: live and replay share it. */
export function foldEvents(
  projection: Projection,
  rows: ReadonlyMap<string, ProjectionRow>,
  events: readonly RecordedEvent[],
): ChangedRows {
  const changed = new Map<string, ProjectionRow | null>();
  for (const event of events) {
    const key = projection.key(event);
    const before = (changed.has(key) ? changed.get(key) : rows.get(key)) ?? projection.initial(key);
    changed.set(key, projection.fold(before, event));
  }
  return changed;
}
