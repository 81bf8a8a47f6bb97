import type { Pool } from 'pg';
import type { RecordedEvent } from '../contracts/event';
import { EVENT_COLUMNS, toEvent, type EventRow } from './event-row';

/** A reaction, and how far it is. */
export type ReactionStatusRow = Readonly<{
  reaction: string;
  /** `running`, or the worst of its checkpoints' states. */
  consumer: string;
  lag_events: number;
  /** Age of the oldest event not seen yet; null when there is none. */
  lag_seconds: number | null;
  open: number;
  /** Age of the oldest open one. */
  open_seconds: number | null;
  done: number;
  parked: number;
  skipped: number;
}>;

/** Counted in the tables: true also while its worker is dead. */
export async function readReactionStatus(db: Pool): Promise<ReactionStatusRow[]> {
  const { rows } = await db.query<ReactionStatusRow>(
    `select l.reaction, l.status as consumer, l.lag_events, l.lag_seconds, r.open, r.open_seconds, r.done,
            (select count(*) from reprise.parked k where k.consumer = 'reaction/' || l.reaction) as parked, r.skipped
     from (
       select substr(consumer, length('reaction/') + 1) as reaction,
              coalesce(min(status) filter (where status <> 'running'), 'running') as status,
              sum(lag_events)::bigint as lag_events, max(lag_seconds)::float8 as lag_seconds
       from reprise.lag where consumer like 'reaction/%' group by consumer
     ) l
     cross join lateral (
       select count(*) filter (where status = 'open') as open,
              extract(epoch from clock_timestamp() - min(started_at) filter (where status = 'open'))::float8 as open_seconds,
              count(*) filter (where status = 'done') as done,
              count(*) filter (where status = 'skipped') as skipped
       from reprise.reactions where reaction = l.reaction
     ) r
     order by l.reaction`,
  );
  return rows;
}

export type ReactionRunRow = Readonly<{
  entity: string;
  version: number;
  status: string;
  run: number;
  attempts: number;
  started: string;
  ended: string | null;
  error: string | null;
}>;

const SHOWN_MAX = 100;

/**
 * The newest of a reaction, of one entity (`order/10248`) if named; those not done first. Also what was parked before it was
 * started: a loop, which is not to go on, or an event that the reaction's own code cannot judge.
 */
export async function readReactionRuns(db: Pool, reaction: string, entity: string | null): Promise<ReactionRunRow[]> {
  const { rows } = await db.query<ReactionRunRow>(
    `with shown as (
       select entity_type, entity_id, version, status, run, attempts, started_at as started, ended_at as ended, error
       from reprise.reactions where reaction = $1::text
       union all
       select k.entity_type, k.entity_id, e.version, 'parked', 0, k.attempts, k.since, k.last_at, k.error
       from reprise.parked k
       join reprise.events e on e.entity_type = k.entity_type and e.entity_id = k.entity_id and e.event_id = k.event_id
       where k.consumer = 'reaction/' || $1::text and not exists (
         select from reprise.reactions r where r.reaction = $1::text and r.entity_type = k.entity_type
           and r.entity_id = k.entity_id and r.version = e.version)
     )
     select entity_type || '/' || entity_id as entity, version, status, run, attempts, started, ended, error
     from shown where $2::text is null or entity_type || '/' || entity_id = $2::text
     order by status = 'done', started desc limit $3::integer`,
    [reaction, entity, SHOWN_MAX],
  );
  return rows;
}

/** Holds a consumer still, or lets it go on. Kept in the table: it holds also while its worker or Temporal is down. */
export async function setPaused(db: Pool, consumer: string, paused: boolean): Promise<boolean> {
  const { rowCount } = await db.query(
    `update reprise.checkpoints set status = $2::text, error = null, updated_at = clock_timestamp()
     where consumer = $1::text and status = any($3::text[])`,
    [consumer, paused ? 'paused' : 'running', paused ? ['running', 'paused'] : ['paused', 'running']],
  );
  return (rowCount ?? 0) > 0;
}

/** Events by id, and whether their entity is held back for a reaction. */
export async function readRerunnable(
  db: Pool,
  reaction: string,
  eventIds: readonly string[],
): Promise<{ readonly event: RecordedEvent; readonly parked: boolean }[]> {
  const { rows } = await db.query<EventRow & { readonly parked: boolean }>(
    `select e.*, exists (select from reprise.parked k where k.consumer = 'reaction/' || $1::text
                           and k.entity_type = e.entity_type and k.entity_id = e.entity_id) as parked
     from (select ${EVENT_COLUMNS} from reprise.events) e where event_id = any($2::uuid[])`,
    [reaction, eventIds],
  );
  return rows.map((row) => ({ event: toEvent(row), parked: row.parked }));
}

export interface Rerun {
  readonly reaction: string;
  readonly eventIds: readonly string[];
  readonly reason: string;
  readonly actor: string;
}

export type RerunRow = Readonly<{
  reaction: string;
  entityType: string;
  entityId: string;
  version: number;
  run: number;
  eventId: string;
}>;

/** Opens a reaction to these events once more, as its next run under the same idempotency key; who and why is kept. */
export async function openReruns(db: Pool, { reaction, eventIds, reason, actor }: Rerun): Promise<RerunRow[]> {
  const { rows } = await db.query<RerunRow>(
    `with chosen as (
       select entity_type, entity_id, version, event_id, partition, "offset" from reprise.events
       where event_id = any($2::uuid[])
     ), opened as (
       insert into reprise.reactions as r (reaction, entity_type, entity_id, version, event_id, partition, "offset", run)
       select $1::text, entity_type, entity_id, version, event_id, partition, "offset", 1 from chosen
       on conflict (reaction, entity_type, entity_id, version) do update
         set run = r.run + 1, status = 'open', attempts = 0, steps = null, error = null, ended_at = null
         where r.status <> 'open'
       returning r.entity_type, r.entity_id, r.version, r.run, r.event_id
     ), noted as (
       insert into reprise.reruns (reaction, entity_type, entity_id, version, run, reason, actor)
       select $1::text, entity_type, entity_id, version, run, $3::text, $4::text from opened
     )
     select $1::text as reaction, entity_type as "entityType", entity_id as "entityId", version, run,
            event_id as "eventId" from opened`,
    [reaction, eventIds, reason, actor],
  );
  return rows;
}

/** Open ones, oldest first, from behind a place on: what `recover` looks at. */
export async function readOpen(
  db: Pool,
  reaction: string,
  after: { readonly entityType: string; readonly entityId: string; readonly version: number },
  rowsMax: number,
): Promise<RerunRow[]> {
  const { rows } = await db.query<RerunRow>(
    `select reaction, entity_type as "entityType", entity_id as "entityId", version, run, event_id as "eventId"
     from reprise.reactions
     where reaction = $1::text and status = 'open' and (entity_type, entity_id, version) > ($2::text, $3::text, $4::integer)
     order by entity_type, entity_id, version limit $5::integer`,
    [reaction, after.entityType, after.entityId, after.version, rowsMax],
  );
  return rows;
}
