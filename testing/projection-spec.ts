import { deepStrictEqual } from 'node:assert/strict';
import type { NewEvent, RecordedEvent } from '../contracts/event';
import { eventIdOf } from '../contracts/event-id';
import { foldEvents } from '../activities/project/fold';
import type { Projection, ProjectionRow } from '../model/projection';

/** Events of one entity as the log would have them. Times are a minute apart unless given. */
export function recorded(
  of: { readonly entityType: string; readonly entityId: string; readonly firstVersion?: number },
  events: readonly NewEvent[],
  occurredAt?: string,
): RecordedEvent[] {
  return events.map((event, index) => {
    const version = (of.firstVersion ?? 1) + index;
    const commandId = `command-${version}`;
    const at = occurredAt ?? new Date(Date.UTC(2026, 0, 1, 0, version)).toISOString();
    return {
      type: event.type,
      data: event.data,
      schemaVersion: event.schemaVersion,
      eventId: eventIdOf({ ...of, version, commandId }),
      entityType: of.entityType,
      entityId: of.entityId,
      version,
      partition: 0,
      offset: version,
      commandId,
      origin: 'live',
      meta: {},
      occurredAt: at,
      recordedAt: at,
    };
  });
}

export interface ProjectOptions {
  /**
   * How often the fold is told each event. Default 1. The engine's checkpoint tells it once; a fold that also stands
   * more depends on nobody's checkpoint. One that adds up does not, and is tested with 1.
   */
  readonly deliveries?: number;
}

/** Folds events into rows as the engine does, telling each as often as asked, and lets the rows be compared. */
export function project(
  projection: Projection,
  events: readonly RecordedEvent[],
  { deliveries = 1 }: ProjectOptions = {},
): { readonly rows: ReadonlyMap<string, ProjectionRow>; readonly thenRows: (expected: readonly object[]) => void } {
  const rows = new Map<string, ProjectionRow>();
  for (const event of events.flatMap((one) => Array.from({ length: deliveries }, () => one))) {
    for (const [key, row] of foldEvents(projection, rows, [event])) {
      if (row) rows.set(key, row);
      else rows.delete(key);
    }
  }
  return { rows, thenRows: (expected) => deepStrictEqual([...rows.values()], expected) };
}
