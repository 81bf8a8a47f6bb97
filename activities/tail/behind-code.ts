import type { Model } from '../../model/model';
import type { StandStill } from '../tail';
import type { LogEvent } from './read-log';

/** An event only newer code knows is not poison: its partition stands still before it. The rest is `known`. */
export function upToUnknown<Event extends LogEvent>(
  model: Model,
  events: readonly Event[],
  concerns: (event: Event) => boolean,
): { readonly known: readonly Event[]; readonly still: readonly StandStill[] } {
  const known: Event[] = [];
  const still = new Map<number, StandStill>();
  for (const event of events) {
    if (still.has(event.partition) || !concerns(event)) continue;
    const reason = unknownToThisCode(model, event);
    if (reason) still.set(event.partition, { partition: event.partition, offset: event.offset, reason });
    else known.push(event);
  }
  return { known, still: [...still.values()] };
}

function unknownToThisCode(model: Model, { type, schemaVersion, eventId }: LogEvent): string | null {
  const contract = model.event(type);
  if (contract && schemaVersion <= contract.version) return null;
  return `event ${eventId} is ${type} version ${schemaVersion}, which this code does not know: deploy the newer worker`;
}
