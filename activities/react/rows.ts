import type { Pool, PoolClient } from 'pg';
import type { RecordedEvent } from '../../contracts/event';
import { EVENT_COLUMNS, toEvent, type EventRow } from '../../db/event-row';
import { withTransaction } from '../../db/pool';
import { reactionConsumer } from '../../workflows/names';
import type { LineRef, ReactionRef } from '../../workflows/reaction';
import { errorText } from '../error-text';
import { park } from '../park';
import { PARKED_MAX, stopWhenFull } from '../tail/checkpoints';

export type ReactionStatus = 'open' | 'done' | 'parked' | 'skipped';

export interface ReactionRow extends ReactionRef {
  readonly status: ReactionStatus;
}

export const entityKey = (of: { entityType: string; entityId: string; version: number }): string =>
  `${of.entityType}/${of.entityId}@${of.version}`;

const ROW_COLUMNS = `reaction, entity_type as "entityType", entity_id as "entityId", version, run, status`;

/**
 * The rows of events that start a reaction, made where they are missing; committed before anything is started. Of those that
 * were redriven a parked one is open again, as its next run; nothing else opens one.
 */
export async function openRows(
  db: Pool,
  reaction: string,
  starting: readonly RecordedEvent[],
  { redriven }: { readonly redriven: boolean },
): Promise<ReactionRow[]> {
  if (starting.length === 0) return [];
  const { rows } = await db.query<ReactionRow>({
    name: 'reaction_open_rows',
    text: `insert into reprise.reactions as r (reaction, entity_type, entity_id, version, event_id, partition, "offset")
           select $1::text, e.entity_type, e.entity_id, e.version, e.event_id, e.partition, e."offset"
           from unnest($2::text[], $3::text[], $4::integer[], $5::uuid[], $6::smallint[], $7::bigint[])
             as e (entity_type, entity_id, version, event_id, partition, "offset")
           order by e.entity_type collate "C", e.entity_id collate "C", e.version
           on conflict (reaction, entity_type, entity_id, version) do update
             set run = r.run + (r.status = 'parked' and $8::boolean)::integer,
                 attempts = case when r.status = 'parked' and $8::boolean then 0 else r.attempts end,
                 steps = case when r.status = 'parked' and $8::boolean then null else r.steps end,
                 status = case when r.status = 'parked' and $8::boolean then 'open' else r.status end
           returning ${ROW_COLUMNS}`,
    values: [
      reaction,
      starting.map(({ entityType }) => entityType),
      starting.map(({ entityId }) => entityId),
      starting.map(({ version }) => version),
      starting.map(({ eventId }) => eventId),
      starting.map(({ partition }) => partition),
      starting.map(({ offset }) => offset),
      redriven,
    ],
  });
  return rows;
}

/** What a person passed over is noted as such. */
export async function noteSkipped(db: Pool, reaction: string, skipped: readonly RecordedEvent[]): Promise<void> {
  await db.query({
    name: 'reaction_note_skipped',
    text: `update reprise.reactions set status = 'skipped', ended_at = clock_timestamp()
           where reaction = $1::text and event_id = any($2::uuid[]) and status in ('open', 'parked')
             and (entity_type, entity_id) in (select * from unnest($3::text[], $4::text[]))`,
    values: [
      reaction,
      skipped.map(({ eventId }) => eventId),
      skipped.map(({ entityType }) => entityType),
      skipped.map(({ entityId }) => entityId),
    ],
  });
}

/** The open ones of an entity that began before an event of it. */
export async function openBefore(
  db: Pool,
  reaction: string,
  event: Pick<RecordedEvent, 'entityType' | 'entityId' | 'version'>,
): Promise<ReactionRow[]> {
  const { rows } = await db.query<ReactionRow>({
    name: 'reaction_open_before',
    text: `select ${ROW_COLUMNS} from reprise.reactions
           where reaction = $1::text and entity_type = $2::text and entity_id = $3::text and version < $4::integer
             and status = 'open' order by version`,
    values: [reaction, event.entityType, event.entityId, event.version],
  });
  return rows;
}

export interface AsOfNow {
  readonly event: RecordedEvent;
  readonly status: ReactionStatus;
  readonly run: number;
}

/** The event that started a reaction, as stored, and where the reaction stands. Null without a row. */
export async function readReaction(db: Pool, ref: ReactionRef): Promise<AsOfNow | null> {
  const { rows } = await db.query<EventRow & { status: ReactionStatus; run: number }>({
    name: 'reaction_read',
    text: `select e.*, r.status, r.run
           from reprise.reactions r
           cross join lateral (
             select ${EVENT_COLUMNS} from reprise.events
             where entity_type = r.entity_type and entity_id = r.entity_id and version = r.version
           ) e
           where r.reaction = $1::text and r.entity_type = $2::text and r.entity_id = $3::text and r.version = $4::integer`,
    values: [ref.reaction, ref.entityType, ref.entityId, ref.version],
  });
  const [row] = rows;
  return row ? { event: toEvent(row), status: row.status, run: row.run } : null;
}

/** The first of an entity's that has not ended, if it is open: none may overtake it. */
export async function nextInLine(db: Pool, { reaction, entityType, entityId }: LineRef): Promise<ReactionRef | null> {
  const { rows } = await db.query<ReactionRow>({
    name: 'reaction_next_in_line',
    text: `select ${ROW_COLUMNS} from reprise.reactions
           where reaction = $1::text and entity_type = $2::text and entity_id = $3::text and status in ('open', 'parked')
           order by version limit 1`,
    values: [reaction, entityType, entityId],
  });
  const [first] = rows;
  if (first?.status !== 'open') return null;
  return { reaction, entityType, entityId, version: first.version, run: first.run };
}

/**
 * Of these events, the keys of those before which so many of their entity are open that their line needs no wake-up: when it
 * has done one of them it asks for the next, and their rows are committed. To be asked when they are.
 */
export async function farBackInLine(
  db: Pool,
  reaction: string,
  events: readonly RecordedEvent[],
  openBeforeMin: number,
): Promise<readonly string[]> {
  if (events.length === 0) return [];
  const { rows } = await db.query<{ entityType: string; entityId: string; version: number }>({
    name: 'reaction_far_back',
    text: `select e.entity_type as "entityType", e.entity_id as "entityId", e.version
           from unnest($2::text[], $3::text[], $4::integer[]) as e (entity_type, entity_id, version)
           where $5::integer <= (select count(*) from (
             select from reprise.reactions p
             where p.reaction = $1::text and p.entity_type = e.entity_type and p.entity_id = e.entity_id
               and p.version < e.version and p.status = 'open' limit $5::integer) before)`,
    values: [
      reaction,
      events.map(({ entityType }) => entityType),
      events.map(({ entityId }) => entityId),
      events.map(({ version }) => version),
      openBeforeMin,
    ],
  });
  return rows.map(entityKey);
}

/** Ended well. A run that was replaced meanwhile ends nothing. */
export async function markDone(db: Pool, ref: ReactionRef): Promise<void> {
  await db.query({
    name: 'reaction_done',
    text: `update reprise.reactions
           set status = 'done', error = null, steps = null, ended_at = clock_timestamp()
           where reaction = $1::text and entity_type = $2::text and entity_id = $3::text and version = $4::integer
             and run = $5::integer and status = 'open'`,
    values: [ref.reaction, ref.entityType, ref.entityId, ref.version, ref.run],
  });
}

/** Failed for good: the row says so, and its entity is held back for this reaction. A second run changes nothing more. */
export async function markParked(
  db: Pool,
  ref: ReactionRef,
  { error, attempts }: { readonly error: string; readonly attempts: number },
  parkedMax: number = PARKED_MAX,
): Promise<void> {
  await withTransaction(db, async (tx) => {
    const { rows } = await tx.query<{ event_id: string; offset: number }>({
      name: 'reaction_parked',
      text: `update reprise.reactions
             set status = 'parked', attempts = $6::integer, error = $7::text, ended_at = clock_timestamp()
             where reaction = $1::text and entity_type = $2::text and entity_id = $3::text and version = $4::integer
               and run = $5::integer and status = 'open'
             returning event_id, "offset"`,
      values: [ref.reaction, ref.entityType, ref.entityId, ref.version, ref.run, attempts, errorText(error)],
    });
    const [row] = rows;
    if (!row) return;
    const consumer = reactionConsumer(ref.reaction);
    const of = { consumer, generation: 0, entityType: ref.entityType, entityId: ref.entityId };
    await park(tx, { ...of, offset: row.offset, eventId: row.event_id, error, attempts, earliest: true });
    await stopWhenFull(tx, { consumer, generation: 0 }, parkedMax);
  });
}

/** Of these types, an entity's events behind a version and before its checkpoint: what a process was told already. */
export async function readTaken(
  db: Pool | PoolClient,
  ref: ReactionRef,
  { types, through }: { readonly types: readonly string[]; readonly through: number | null },
): Promise<RecordedEvent[]> {
  const { rows } = await db.query<EventRow>({
    name: 'reaction_read_taken',
    text: `select ${EVENT_COLUMNS} from reprise.events e
           where entity_type = $1::text and entity_id = $2::text and version > $3::integer and type = any($4::text[])
             and case when $5::integer is null
                   then "offset" < (select next_offset from reprise.checkpoints c
                                    where c.consumer = $6::text and c.generation = 0 and c.partition = e.partition)
                   else version <= $5::integer end
           order by version`,
    values: [ref.entityType, ref.entityId, ref.version, types, through, reactionConsumer(ref.reaction)],
  });
  return rows.map(toEvent);
}
