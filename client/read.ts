import type { Pool } from 'pg';
import type { RecordedEvent } from '../contracts/event';
import { EVENT_COLUMNS, toEvent, type EventRow } from '../db/event-row';
import type { AnyEntity } from '../model/entity';
import type { Model } from '../model/model';

/** An entity's state at one version. */
export interface EntityState<State = unknown> {
  readonly version: number;
  readonly state: State;
  /** `recordedAt` of the event that made it. */
  readonly updatedAt: string;
}

/** A version, a moment of recording, or a moment of occurring. */
export type Moment = number | Date | { readonly occurred: Date };

/** The state as it is stored, or folded again where an older or newer definition folded it. Null without events. */
export async function readState(
  db: Pool,
  model: Model,
  entity: AnyEntity,
  entityId: string,
): Promise<EntityState | null> {
  const { rows } = await db.query<{ version: number; state: unknown; definition: number; updated_at: string }>({
    name: 'read_state',
    text: `select version, state, definition, updated_at from reprise.entities
           where entity_type = $1::text and entity_id = $2::text`,
    values: [entity.name, entityId],
  });
  const row = rows[0];
  if (!row) return null;
  if (row.definition !== entity.version) return readStateAt(db, model, entity, entityId, row.version);
  return { version: row.version, state: row.state, updatedAt: row.updated_at };
}

/** The entity's events, oldest first, in their newest shape. */
export async function readHistory(
  db: Pool,
  model: Model,
  entity: AnyEntity,
  entityId: string,
): Promise<RecordedEvent[]> {
  const { rows } = await db.query<EventRow>({
    name: 'read_history',
    text: `select ${EVENT_COLUMNS} from reprise.events
           where entity_type = $1::text and entity_id = $2::text order by version`,
    values: [entity.name, entityId],
  });
  return rows.map((row) => {
    const event = toEvent(row);
    return { ...event, data: model.decode(event.type, event.schemaVersion, event.data) };
  });
}

/**
 * The state as it was: at a version, or after the events recorded (or occurred) up to a moment. Null before the first.
 * `recordedAt` never falls within an entity, so a moment of recording names a prefix of its versions; by
 * occurring, the state is that before the first event that had not yet occurred: a state never skips one.
 */
export async function readStateAt(
  db: Pool,
  model: Model,
  entity: AnyEntity,
  entityId: string,
  moment: Moment,
): Promise<EntityState | null> {
  const history = await readHistory(db, model, entity, entityId);
  const beyond = history.findIndex((event) => !until(moment)(event));
  const events = beyond < 0 ? history : history.slice(0, beyond);
  const last = events.at(-1);
  if (!last) return null;
  const state = events.reduce((folded, event) => entity.evolve(folded, event), entity.initial);
  return { version: last.version, state, updatedAt: last.recordedAt };
}

function until(moment: Moment): (event: RecordedEvent) => boolean {
  if (typeof moment === 'number') return (event) => event.version <= moment;
  if (moment instanceof Date) return (event) => Date.parse(event.recordedAt) <= moment.getTime();
  return (event) => Date.parse(event.occurredAt) <= moment.occurred.getTime();
}
