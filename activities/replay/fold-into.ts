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
  const lifted = events.flatMap((event) => liftOrHold(group, event));
  const missing = cache.missing(lifted.map(({ key }) => key));
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

function liftOrHold(group: Group, stored: RecordedEvent): readonly Lifted[] {
  const { model, projection, standing } = group;
  if (standing.passesOver(stored)) return [];
  try {
    const event = { ...stored, data: model.decode(stored.type, stored.schemaVersion, stored.data) };
    return [{ event, key: projection.key(event) }];
  } catch (error) {
    hold(group, stored, error);
    return [];
  }
}

function hold({ standing, unwritten }: Group, event: RecordedEvent, error: unknown): void {
  standing.hold(event);
  unwritten.poisoned.push({ event, error });
}
