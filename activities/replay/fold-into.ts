import type { RecordedEvent } from '../../contracts/event';
import { selectRows } from '../project/rows';
import type { Group } from './filling';

interface Lifted {
  readonly event: RecordedEvent;
  readonly key: string;
}

/** Folds events into a group's rows, in memory. One that its fold throws at holds back its entity, as it would live. */
export async function foldInto(group: Group, events: readonly RecordedEvent[]): Promise<void> {
  const { cache, projection, standing, db, table } = group;
  const lifted = liftAll(group, events);
  const missing = cache.missing(lifted);
  if (missing.length > 0) cache.load(missing, await selectRows(db, table, missing));
  for (const { event, key } of lifted) {
    if (standing.passesOver(event)) continue;
    try {
      cache.set(key, projection.fold(cache.get(key) ?? projection.initial(key), event));
    } catch (error) {
      hold(group, event, error);
    }
  }
}

function liftAll(group: Group, events: readonly RecordedEvent[]): readonly Lifted[] {
  const { model, projection, standing } = group;
  const lifted: Lifted[] = [];
  for (const stored of events) {
    if (standing.passesOver(stored)) continue;
    try {
      const event = model.lift(stored);
      lifted.push({ event, key: projection.key(event) });
    } catch (error) {
      hold(group, stored, error);
    }
  }
  return lifted;
}

function hold({ standing, unwritten }: Group, event: RecordedEvent, error: unknown): void {
  standing.hold(event);
  unwritten.poisoned.push({ event, error });
}
