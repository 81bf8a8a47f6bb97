import type { Pool } from 'pg';
import { eventIdOf } from '../../contracts/event-id';
import { partitionOf } from '../../model/partition';
import type { Model } from '../../model/model';
import type { Decided, DecidedCommand, DecidedEntity, DecidedEvent, Intake } from './decide';
import { entityKey } from './known';

/** How far a run of a backfill is with a partition once a batch is in, and what of it was not taken: storage format. */
export interface BackfillPart {
  readonly run: string;
  readonly partition: number;
  readonly epoch: number;
  readonly through: number;
  readonly accepted: number;
  readonly repeated: number;
  readonly events: number;
  readonly rejects: readonly Readonly<Record<string, string | number | null>>[];
}

/** Where the events of a batch came to lie. */
export interface Written {
  /** Of an event of this batch: its offset. */
  readonly offsetOf: (entityKey: string, version: number) => number | null;
}

export interface WriteOptions {
  readonly model: Model;
  readonly partitions: number;
  /** How long to wait for a lock; undefined: as long as the login may. */
  readonly lockMsMax: number | undefined;
  readonly intake: Intake;
}

/** One call, one transaction. Throws SQLSTATE RP001 when anything moved since it was decided. */
export async function write(
  db: Pool,
  options: WriteOptions,
  decided: Decided,
  beside: BackfillPart | null = null,
): Promise<Written> {
  const placed = placeEvents(options.partitions, decided.events);
  const batch = toBatch(options, decided, placed);
  const { rows } = await db.query<{ in_partition: number; head_before: number }>(
    beside ? { ...COMMIT_BACKFILL, values: [batch, JSON.stringify(beside)] } : { ...COMMIT, values: [batch] },
  );
  const heads = new Map(rows.map((row) => [row.in_partition, row.head_before]));
  const offsets = new Map(
    placed.map(({ event, partition, position }) => [
      `${entityKey(event)}/${event.version}`,
      (heads.get(partition) ?? 0) + position,
    ]),
  );
  return {
    offsetOf: (key, version) => offsets.get(`${key}/${version}`) ?? null,
  };
}

const COMMIT = { name: 'commit', text: 'select in_partition, head_before from reprise.commit($1::jsonb)' };
const COMMIT_BACKFILL = {
  name: 'commit_backfill',
  text: 'select in_partition, head_before from reprise.commit_backfill($1::jsonb, $2::jsonb)',
};

interface PlacedEvent {
  readonly event: DecidedEvent;
  readonly partition: number;
  /** 1..n among this batch's events of the partition. */
  readonly position: number;
}

function placeEvents(partitions: number, events: readonly DecidedEvent[]): PlacedEvent[] {
  const counts = new Map<number, number>();
  return events.map((event) => {
    const partition = partitionOf(event.entityType, event.entityId, partitions);
    const position = (counts.get(partition) ?? 0) + 1;
    counts.set(partition, position);
    return { event, partition, position };
  });
}

// One JSON text for the whole batch: one value to bind, whatever the number of rows, and one parse on each side.
function toBatch(
  { model, partitions, lockMsMax, intake }: WriteOptions,
  decided: Decided,
  placed: readonly PlacedEvent[],
): string {
  const changed = decided.entities.filter((entity) => entity.version > entity.expected);
  const toRow = (entity: DecidedEntity) => toStateRow(model, partitions, entity);
  return JSON.stringify({
    origin: intake.origin,
    ...(lockMsMax === undefined ? {} : { lock_timeout: `${lockMsMax}ms` }),
    entities: decided.entities.map(({ entityType, entityId, expected }) => ({
      entity_type: entityType,
      entity_id: entityId,
      expected,
    })),
    inserts: changed.filter((entity) => entity.expected === 0).map(toRow),
    updates: changed.filter((entity) => entity.expected > 0).map(toRow),
    commands: decided.commands.map(toCommandRow),
    heads: toHeads(placed),
    events: placed.map(toEventRow),
  });
}

const toStateRow = (model: Model, partitions: number, entity: DecidedEntity) => ({
  entity_type: entity.entityType,
  entity_id: entity.entityId,
  version: entity.version,
  published_version: entity.publishedVersion,
  state: entity.state,
  definition: model.entity(entity.entityType)?.version,
  partition: partitionOf(entity.entityType, entity.entityId, partitions),
});

const toCommandRow = ({ message, bodyHash, outcome }: DecidedCommand) => ({
  entity_type: message.entityType,
  entity_id: message.entityId,
  command_id: message.commandId,
  body_hash: bodyHash,
  outcome: outcome.outcome,
  code: outcome.outcome === 'accepted' ? null : outcome.code,
  first_version: outcome.outcome === 'accepted' ? outcome.firstVersion : null,
  last_version: outcome.lastVersion,
});

function toHeads(placed: readonly PlacedEvent[]) {
  const last = new Map(placed.map(({ partition, position }) => [partition, position]));
  return [...last].map(([partition, events]) => ({ partition, events }));
}

const toEventRow = ({ event, partition, position }: PlacedEvent) => ({
  partition,
  position,
  event_id: eventIdOf(event),
  entity_type: event.entityType,
  entity_id: event.entityId,
  version: event.version,
  type: event.type,
  schema_version: event.schemaVersion,
  data: event.data,
  meta: event.meta,
  command_id: event.commandId,
  published_after: event.publishedAfter,
  ...(event.published ? { public_version: event.published.version, public_data: event.published.data } : {}),
  occurred_at: event.occurredAt,
});
