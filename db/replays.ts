import type { Pool, PoolClient } from 'pg';
import type { Build, Control, Wanted } from '../workflows/replay';

type Db = Pick<Pool | PoolClient, 'query'>;

export type ReplayPhase =
  'filling' | 'verifying' | 'different' | 'verified' | 'switched' | 'rolled-back' | 'dropped' | 'cancelled';

/** A replay, and how far it is: counted in the tables, so true also while its worker is dead. */
export type ReplayStatus = Readonly<{
  projection: string;
  generation: number;
  phase: ReplayPhase;
  wanted: Wanted;
  /** Entities where only some are folded again. */
  unit: 'events' | 'entities';
  /** Events folded, and those in the log now; or entities folded again, and those to be. */
  done: number;
  total: number;
  /** Of the generation that serves, before some entities are folded again; null: all are copied, or none is to be. */
  rows_copied: number | null;
  /** Measured over the last second or so; null when it stands still. */
  per_second: number | null;
  /** The limit that was set; null: none. */
  rate: number | null;
  adaptive: boolean;
  /** What slows it now; null: nothing. */
  bounded_by: string | null;
  seconds_left: number | null;
  /** Since anybody moved it or said how it goes; null once it has ended. */
  still_seconds: number | null;
  parked: number;
  error: string | null;
  report: unknown;
  actor: string;
  began: string;
  ended: string | null;
}>;

// What a worker told longer ago says nothing about now.
const STALE_SECONDS = 5;

/** The newest first; of one projection, if named. */
export async function readReplays(db: Db, projection: string | null, rowsMax = 20): Promise<ReplayStatus[]> {
  const { rows } = await db.query<ReplayStatus>(
    `select substr(r.consumer, length('projection/') + 1) as projection, r.generation, r.phase, r.wanted,
            case when r.selection is null then 'events' else 'entities' end as unit,
            case when r.selection is null then coalesce(c.done, 0) else r.entities_done end::bigint as done,
            case when r.selection is null then h.total else coalesce(r.entities_total, 0) end::bigint as total,
            case when r.selection is not null and r.walk_from is null then r.rows_copied end as rows_copied,
            case when t.fresh then r.per_second::float8 end as per_second, r.rate, r.adaptive,
            case when t.fresh then r.bounded_by end as bounded_by,
            case when t.fresh and r.per_second > 0 then
              case when r.selection is null then h.total - c.done
                   else (r.entities_total - r.entities_done) * r.entity_events::float8 / nullif(r.entities_done, 0) end
              / r.per_second::float8 end as seconds_left,
            case when r.ended_at is null then extract(epoch from clock_timestamp() - r.moved_at)::float8 end as still_seconds,
            (select count(*) from reprise.parked k where k.consumer = r.consumer and k.generation = r.generation) as parked,
            r.error, r.report, r.actor, r.began_at as began, r.ended_at as ended
     from reprise.replays r
     cross join lateral (select sum(next_offset - 1) as done from reprise.checkpoints c
                         where c.consumer = r.consumer and c.generation = r.generation) c
     cross join lateral (select sum(head) as total from reprise.partitions) h
     cross join lateral (select r.ended_at is null and r.moved_at > clock_timestamp() - make_interval(secs => $2::integer)
                                as fresh) t
     where $1::text is null or r.consumer = 'projection/' || $1::text
     order by r.began_at desc limit $3::integer`,
    [projection, STALE_SECONDS, rowsMax],
  );
  return rows;
}

/** The one that builds now, and what is asked of it. Null: none. */
export async function readBuilding(db: Db, consumer: string): Promise<Build | null> {
  const { rows } = await db.query<Build>(
    `select r.consumer, r.generation from reprise.replays r join reprise.generations g using (consumer, generation)
     where r.consumer = $1::text and g.status = 'building' and r.ended_at is null`,
    [consumer],
  );
  return rows[0] ?? null;
}

/** Writes down what is asked; whoever fills reads it within a second. It holds also while Temporal or the worker is down. */
export async function controlReplay(db: Db, { consumer, generation }: Build, asked: Control): Promise<boolean> {
  const { rowCount } = await db.query(
    `update reprise.replays
     set wanted = coalesce($3::text, wanted), adaptive = coalesce($4::boolean, adaptive),
         rate = case when $5::boolean then $6::integer else rate end
     where consumer = $1::text and generation = $2::integer and ended_at is null`,
    [consumer, generation, asked.wanted ?? null, asked.adaptive ?? null, asked.rate !== undefined, asked.rate ?? null],
  );
  return (rowCount ?? 0) > 0;
}

/** Where it stands; with its end it says so once and for all. */
export async function movePhase(
  db: Db,
  { consumer, generation }: Build,
  {
    phase,
    report,
    ended = false,
  }: { readonly phase: ReplayPhase; readonly report?: unknown; readonly ended?: boolean },
): Promise<void> {
  await db.query(
    `update reprise.replays
     set phase = $3::text, report = coalesce($4::jsonb, report), error = null, moved_at = clock_timestamp(),
         ended_at = case when $5::boolean then coalesce(ended_at, clock_timestamp()) end
     where consumer = $1::text and generation = $2::integer`,
    [consumer, generation, phase, report === undefined ? null : JSON.stringify(report), ended],
  );
}
