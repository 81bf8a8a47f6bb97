import type { RecordedEvent } from '../../contracts/event';
import type { ProjectionRow } from '../../model/projection';
import { upToUnknown } from '../tail/behind-code';
import type { ChosenEntity, Vector } from './chosen';
import type { Part } from './part';
import { readHistories } from './read-histories';

/** An entity's row as its events make it, up to one that its fold throws at. */
export interface FoldedAgain {
  readonly entity: ChosenEntity;
  /** Null: there is none. */
  row: ProjectionRow | null;
  poison: { readonly event: RecordedEvent; readonly error: unknown } | null;
  events: number;
  /** The last version that was folded. */
  version: number;
}

/** Folds entities from their first event to the places, side by side and in memory: of each only its row is kept. */
export async function foldAgain(
  part: Part,
  entities: readonly ChosenEntity[],
  { to, skipped }: { readonly to: Vector; readonly skipped: ReadonlySet<string> },
): Promise<FoldedAgain[]> {
  const folded = entities.map((entity): FoldedAgain => ({ entity, row: null, poison: null, events: 0, version: 0 }));
  for (let open = folded; open.length > 0;) {
    const stretches = await readHistories(part.db, open, to);
    for (const [nth, { events }] of stretches.entries()) {
      const one = open[nth];
      if (one) await foldOne(part, one, events, skipped);
    }
    open = open.filter(({ poison }, nth) => stretches[nth]?.isCut && !poison);
  }
  return folded;
}

async function foldOne(
  { model, projection, governor }: Part,
  one: FoldedAgain,
  events: readonly RecordedEvent[],
  skipped: ReadonlySet<string>,
): Promise<void> {
  const [behind] = upToUnknown(model, events, () => true).still;
  if (behind) throw new Error(`${projection.name} stands still: ${behind.reason}`);
  for (let at = 0; at < events.length && !one.poison;) {
    const step = events.slice(at, at + (governor.step ?? events.length));
    await governor.pass(step.length);
    for (const event of step) if (!one.poison && !skipped.has(event.eventId)) foldEvent(one, event);
    at += step.length;
  }

  function foldEvent(folding: FoldedAgain, event: RecordedEvent): void {
    folding.events += 1;
    folding.version = event.version;
    if (!projection.events.includes(event.type)) return;
    try {
      const lifted = { ...event, data: model.decode(event.type, event.schemaVersion, event.data) };
      folding.row = projection.fold(folding.row ?? projection.initial(projection.key(lifted)), lifted);
    } catch (error) {
      folding.poison = { event, error };
    }
  }
}
