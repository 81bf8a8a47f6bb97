import type { Pool } from 'pg';
import type { RecordedEvent } from '../../contracts/event';
import { EVENT_COLUMNS, toEvent, type EventRow } from '../../db/event-row';
import type { AnyReaction } from '../../model/reaction';
import { reactionConsumer } from '../../workflows/names';

/** How many of a reaction are open; counted up to `max`. */
export async function countOpen(db: Pool, reaction: string, max: number): Promise<number> {
  const { rows } = await db.query<{ open: number }>({
    name: 'reaction_count_open',
    text: `select count(*) as open from (
             select from reprise.reactions where reaction = $1::text and status = 'open' limit $2::integer) o`,
    values: [reaction, max],
  });
  return rows[0]?.open ?? 0;
}

/** Of these events, those that need no start: they have their row, and are not to be opened again. */
export async function withRow(
  db: Pool,
  reaction: string,
  events: readonly RecordedEvent[],
  { redriven }: { readonly redriven: boolean },
): Promise<readonly { entityType: string; entityId: string; version: number }[]> {
  const { rows } = await db.query<{ entityType: string; entityId: string; version: number }>({
    name: 'reaction_with_row',
    text: `select r.entity_type as "entityType", r.entity_id as "entityId", r.version
           from unnest($2::text[], $3::text[], $4::integer[]) as e (entity_type, entity_id, version)
           join reprise.reactions r on r.reaction = $1::text and r.entity_type = e.entity_type
             and r.entity_id = e.entity_id and r.version = e.version
           where not ($5::boolean and r.status = 'parked')`,
    values: [
      reaction,
      events.map(({ entityType }) => entityType),
      events.map(({ entityId }) => entityId),
      events.map(({ version }) => version),
      redriven,
    ],
  });
  return rows;
}

const AHEAD_MAX = 1_000;

/** An open process, and the last version that it was told ahead. */
export interface ToldThrough {
  readonly entityType: string;
  readonly entityId: string;
  readonly startedAt: number;
  readonly run: number;
  readonly through: number;
}

export interface Ahead {
  readonly event: RecordedEvent;
  /** The version that its process was started by. */
  readonly startedAt: number;
  readonly run: number;
}

/**
 * Of these types, what lies in the log beyond the checkpoint for those that are open, and was not told yet. Not of an entity
 * that is held back.
 */
export async function readAhead(
  db: Pool,
  { name, backfilled }: Pick<AnyReaction, 'name' | 'backfilled'>,
  types: readonly string[],
  told: readonly ToldThrough[],
): Promise<readonly Ahead[]> {
  const { rows } = await db.query<EventRow & { started_at_version: number; run: number }>({
    name: 'reaction_read_ahead',
    text: `select e.*, r.version as started_at_version, r.run
           from reprise.reactions r
           left join unnest($6::text[], $7::text[], $8::integer[], $9::integer[], $10::integer[])
             as t (entity_type, entity_id, version, run, through)
             on t.entity_type = r.entity_type and t.entity_id = r.entity_id and t.version = r.version and t.run = r.run
           cross join lateral (
             select ${EVENT_COLUMNS} from reprise.events
             where entity_type = r.entity_type and entity_id = r.entity_id and version > coalesce(t.through, r.version)
               and type = any($3::text[]) and (origin = 'live' or $4::boolean)
           ) e
           join reprise.checkpoints c on c.consumer = $2::text and c.generation = 0 and c.partition = e.partition
             and c.status = 'running'
           where r.reaction = $1::text and r.status = 'open' and e."offset" >= c.next_offset
             and not exists (select from reprise.parked k where k.consumer = $2::text and k.generation = 0
                               and k.entity_type = r.entity_type and k.entity_id = r.entity_id)
             and not exists (select from reprise.skips s where s.consumer = $2::text and s.event_id = e.event_id)
           order by e.entity_type, e.entity_id, e.version limit $5::integer`,
    values: [
      name,
      reactionConsumer(name),
      types,
      backfilled,
      AHEAD_MAX,
      told.map(({ entityType }) => entityType),
      told.map(({ entityId }) => entityId),
      told.map(({ startedAt }) => startedAt),
      told.map(({ run }) => run),
      told.map(({ through }) => through),
    ],
  });
  return rows.map((row) => ({ event: toEvent(row), startedAt: row.started_at_version, run: row.run }));
}
