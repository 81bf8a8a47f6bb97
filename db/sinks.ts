import type { Pool } from 'pg';
import type { SinkKind, SinkOptions, SinkRow } from '../relay/open-sink';

export type SinkStatus = Readonly<{
  sink: string;
  kind: SinkKind;
  options: SinkOptions;
  since: string;
  /** `running`, or the worst of its checkpoints' states. */
  status: string;
  waiting: number;
  /** Age of the oldest waiting message in seconds; null without one. */
  oldest_seconds: number | null;
  parked: number;
}>;

export async function readSinks(db: Pool): Promise<SinkRow[]> {
  const { rows } = await db.query<SinkRow>('select sink, kind, options from reprise.sinks order by sink');
  return rows;
}

/** Every sink with its backlog, counted in the table: true also while its relay is dead. */
export async function readSinkStatus(db: Pool): Promise<SinkStatus[]> {
  const { rows } = await db.query<SinkStatus>(
    `select s.sink, s.kind, s.options, s.since,
            coalesce((select min(c.status) filter (where c.status <> 'running') from reprise.checkpoints c
                      where c.consumer = 'relay/' || s.sink), 'running') as status,
            coalesce(o.waiting, 0)::bigint as waiting,
            extract(epoch from clock_timestamp() - o.oldest)::float8 as oldest_seconds,
            (select count(*) from reprise.parked k where k.consumer = 'relay/' || s.sink) as parked
     from reprise.sinks s
     left join (select sink, count(*) as waiting, min(created_at) as oldest from reprise.outbox group by sink) o
       using (sink)
     order by s.sink`,
  );
  return rows;
}

/** Events committed from now on go there too. False when a sink of that name exists. By the owner's login. */
export async function addSink(db: Pool, { sink, kind, options }: SinkRow): Promise<boolean> {
  const { rows } = await db.query<{ added: boolean }>(
    'select reprise.add_sink($1::text, $2::text, $3::jsonb) as added',
    [sink, kind, options],
  );
  return rows[0]?.added ?? false;
}

/** Answers how many unpublished messages were lost with it; null when there is no such sink. By the owner's login. */
export async function removeSink(db: Pool, sink: string): Promise<number | null> {
  const { rows } = await db.query<{ lost: number | null }>('select reprise.remove_sink($1::text) as lost', [sink]);
  return rows[0]?.lost ?? null;
}
