import type { Pool } from 'pg';
import { OLDEST_WAITING } from './sinks';

/** What the tables say about every consumer and sink: true also while its process is dead. */
export interface Figures {
  readonly outbox: readonly OutboxFigure[];
  readonly lag: readonly LagFigure[];
  readonly standing: readonly StandingFigure[];
  readonly audits: readonly AuditFigure[];
}

type OutboxFigure = Readonly<{ sink: string; rows: number; oldest_seconds: number; warnings: number }>;

/** Of one partition. `lag_seconds`: the age of the oldest event not applied; 0 without one. */
type LagFigure = Readonly<{
  consumer: string;
  generation: number;
  partition: number;
  lag_events: number;
  lag_seconds: number;
}>;

/** How many of a consumer's checkpoints are in each status, and how many entities it holds back. */
type StandingFigure = Readonly<{
  consumer: string;
  generation: number;
  running: number;
  paused: number;
  parked_full: number;
  behind_code: number;
  parked: number;
}>;

/** Of rows (`projection/order_summary`) or states (`entity/order`): those that differ, and when they were last audited. */
type AuditFigure = Readonly<{ consumer: string; drifts: number; ended_at: number }>;

/** By the login `reprise_read`: others see only consumers of their own kind. Counted now, in four statements. */
export async function readFigures(db: Pool): Promise<Figures> {
  const [outbox, lag] = [await readOutbox(db), await readLag(db)];
  return { outbox, lag, standing: await readStanding(db), audits: await readAudits(db) };
}

// 1.3 s where 1.5 million took 0.4. What lies beyond is no longer counted, so that the figures come while they matter most.
const COUNTED_MAX = 5_000_000;

async function readOutbox(db: Pool): Promise<OutboxFigure[]> {
  const { rows } = await db.query<OutboxFigure>({
    name: 'figures_outbox',
    text: `select s.sink,
                  (select count(*) from (select from reprise.outbox o where o.sink = s.sink limit $1::integer) o) as rows,
                  coalesce(extract(epoch from clock_timestamp() - ${OLDEST_WAITING}), 0)::float8 as oldest_seconds,
                  jsonb_array_length(s.warnings) as warnings
           from reprise.sinks s`,
    values: [COUNTED_MAX],
  });
  return rows;
}

async function readLag(db: Pool): Promise<LagFigure[]> {
  const { rows } = await db.query<LagFigure>({
    name: 'figures_lag',
    text: `select consumer, generation, partition, lag_events, coalesce(lag_seconds, 0)::float8 as lag_seconds
           from reprise.lag`,
  });
  return rows;
}

async function readStanding(db: Pool): Promise<StandingFigure[]> {
  const { rows } = await db.query<StandingFigure>({
    name: 'figures_standing',
    text: `select consumer, generation,
                  count(*) filter (where status = 'running') as running,
                  count(*) filter (where status = 'paused') as paused,
                  count(*) filter (where status = 'parked-full') as parked_full,
                  count(*) filter (where status = 'behind-code') as behind_code,
                  (select count(*) from reprise.parked k
                   where k.consumer = c.consumer and k.generation = c.generation) as parked
           from reprise.checkpoints c group by consumer, generation`,
  });
  return rows;
}

async function readAudits(db: Pool): Promise<AuditFigure[]> {
  const { rows } = await db.query<AuditFigure>({
    name: 'figures_audits',
    text: `select a.consumer, (select count(*) from reprise.drifts d where d.consumer = a.consumer) as drifts,
                  extract(epoch from max(a.ended_at))::float8 as ended_at
           from (select consumer, ended_at from reprise.audits
                 union all
                 select 'entity/' || t, ended_at from reprise.audits, unnest(entity_types) t) a
           where a.ended_at is not null group by a.consumer`,
  });
  return rows;
}
