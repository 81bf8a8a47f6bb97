import type { Pool } from 'pg';
import type { RecordedEvent } from '../../contracts/event';
import type { ConsumerName } from '../tail';

/** What is passed over: entities held back for this generation, and events that a person decided to skip. */
export class Standing {
  constructor(
    private readonly parked: Set<string>,
    private readonly skipped: ReadonlySet<string>,
  ) {}

  passesOver(event: RecordedEvent): boolean {
    return this.parked.has(entityOf(event)) || this.skipped.has(event.eventId);
  }

  hold(event: RecordedEvent): void {
    this.parked.add(entityOf(event));
  }
}

const entityOf = ({ entityType, entityId }: { entityType: string; entityId: string }): string =>
  `${entityType}/${entityId}`;

/** Few of either: a generation stops when more than a hundred entities are parked, and skips are made by hand. */
export async function readStanding(db: Pool, name: ConsumerName): Promise<Standing> {
  const [parked, skipped] = await Promise.all([readParked(db, name), readSkipped(db, name)]);
  return new Standing(new Set(parked.map(entityOf)), skipped);
}

export async function readParked(
  db: Pool,
  { consumer, generation }: ConsumerName,
): Promise<{ readonly entityType: string; readonly entityId: string }[]> {
  const { rows } = await db.query<{ entityType: string; entityId: string }>(
    `select entity_type as "entityType", entity_id as "entityId" from reprise.parked
     where consumer = $1::text and generation = $2::integer`,
    [consumer, generation],
  );
  return rows;
}

/** Events that a person decided to skip, of every generation. */
export async function readSkipped(db: Pool, { consumer }: ConsumerName): Promise<ReadonlySet<string>> {
  const { rows } = await db.query<{ event_id: string }>(
    'select event_id from reprise.skips where consumer = $1::text',
    [consumer],
  );
  return new Set(rows.map(({ event_id }) => event_id));
}
