import type { Pool } from 'pg';
import type { RecordedEvent } from '../contracts/event';
import { badEntityId } from '../contracts/ids';
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
  checkId(entityId);
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
  checkId(entityId);
  const { rows } = await db.query<EventRow>({
    name: 'read_history',
    text: `select ${EVENT_COLUMNS} from reprise.events
           where entity_type = $1::text and entity_id = $2::text order by version`,
    values: [entity.name, entityId],
  });
  return rows.map((row) => model.lift(toEvent(row)));
}

/**
 * The state as it was: at a version, or after the events recorded (or occurred) up to a moment. Null before the first,
 * and at a version that it has not reached.
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
  checkId(entityId);
  checkMoment(moment);
  let found: EntityState | null = null;
  for await (const event of eventsUntil(db, model, entity, entityId, moment)) {
    const state = entity.evolve(found ? found.state : entity.initial, event);
    found = { version: event.version, state, updatedAt: event.recordedAt };
  }
  return typeof moment === 'number' && found?.version !== moment ? null : found;
}

// A page is held in memory, and what of it lies beyond the moment was read in vain.
const PAGE_EVENTS = 200;
const VERSION_MAX = 2 ** 31 - 1;

/** Reads page by page, and not beyond the page in which the first event lies that does not belong to the moment. */
async function* eventsUntil(
  db: Pool,
  model: Model,
  entity: AnyEntity,
  entityId: string,
  moment: Moment,
): AsyncGenerator<RecordedEvent> {
  const belongs = until(moment);
  const last = typeof moment === 'number' ? Math.min(moment, VERSION_MAX) : VERSION_MAX;
  for (let after = 0; after < last; after += PAGE_EVENTS) {
    const { rows } = await db.query<EventRow>({
      name: 'read_history_page',
      text: `select ${EVENT_COLUMNS} from reprise.events
             where entity_type = $1::text and entity_id = $2::text and version > $3::integer and version <= $4::integer
             order by version`,
      values: [entity.name, entityId, after, Math.min(after + PAGE_EVENTS, last)],
    });
    for (const row of rows) {
      if (!belongs(toEvent(row))) return;
      yield model.lift(toEvent(row));
    }
    if (rows.length < PAGE_EVENTS) return;
  }
}

function checkId(entityId: string): void {
  const bad = badEntityId(entityId);
  if (bad) throw new RangeError(`no id of an entity: ${bad}`);
}

const isDate = (value: unknown): boolean => value instanceof Date && !Number.isNaN(value.getTime());

// Also of callers without types.
function checkMoment(moment: unknown): void {
  const occurred = typeof moment === 'object' && moment !== null && 'occurred' in moment ? moment.occurred : undefined;
  if (Number.isInteger(moment) || isDate(moment) || isDate(occurred)) return;
  const given = typeof moment === 'number' ? moment : JSON.stringify(moment);
  throw new RangeError(
    `no moment of an entity: ${given} is neither a version (a whole number), nor a valid Date, nor { occurred: Date }`,
  );
}

const timeOf = (moment: Date | { readonly occurred: Date }): number =>
  (moment instanceof Date ? moment : moment.occurred).getTime();

function until(moment: Moment): (event: RecordedEvent) => boolean {
  if (typeof moment === 'number') return (event) => event.version <= moment;
  const time = timeOf(moment);
  if (moment instanceof Date) return (event) => Date.parse(event.recordedAt) <= time;
  return (event) => Date.parse(event.occurredAt) <= time;
}
