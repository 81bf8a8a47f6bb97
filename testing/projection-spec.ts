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
  /** How often each event is delivered. The engine applies it once, as it does behind a checkpoint. Default 1. */
  readonly deliveries?: number;
}

/** Folds events into rows, delivering each as often as asked, and lets the rows be compared. */
export function project(
  projection: Projection,
  events: readonly RecordedEvent[],
  { deliveries = 1 }: ProjectOptions = {},
): { readonly rows: ReadonlyMap<string, ProjectionRow>; readonly thenRows: (expected: readonly object[]) => void } {
  const rows = new Map<string, ProjectionRow>();
  const applied = new Set<string>();
  for (const event of events.flatMap((one) => Array.from({ length: deliveries }, () => one))) {
    if (applied.has(event.eventId)) continue; // what the checkpoint does
    applied.add(event.eventId);
    for (const [key, row] of foldEvents(projection, rows, [event])) {
      if (row) rows.set(key, row);
      else rows.delete(key);
    }
  }
  return { rows, thenRows: (expected) => deepStrictEqual([...rows.values()], expected) };
}
