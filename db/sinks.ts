import { setTimeout } from 'node:timers/promises';
import type { Pool } from 'pg';
import type { SinkKind, SinkOptions, SinkRow } from '../relay/open-sink';
import { isLockTrouble } from './errors';

// Each gives up after a second, so that no commit waits long behind it.
const ATTEMPTS_MAX = 5;
const RETRY_MS = 200;

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
  /** What is doubtful about its broker, as its relay found it last. */
  warnings: readonly string[];
}>;

/**
 * When the oldest message of sink `s` came to wait. Of each partition only the first is looked at: over all of them a backlog
 * of millions was read from end to end, and no figure came within its time.
 */
export const OLDEST_WAITING = `(
  select min(o.created_at) from reprise.partitions p cross join lateral (
    select created_at from reprise.outbox
    where sink = s.sink and partition = p.partition order by "offset" limit 1) o)`;

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
            (select count(*) from reprise.outbox o where o.sink = s.sink) as waiting,
            extract(epoch from clock_timestamp() - ${OLDEST_WAITING})::float8 as oldest_seconds,
            (select count(*) from reprise.parked k where k.consumer = 'relay/' || s.sink) as parked,
            s.warnings
     from reprise.sinks s order by s.sink`,
  );
  return rows;
}

/** Shown where people look: `sink ls`, `doctor`, the figures. By the relay's login. */
export async function noteWarnings(db: Pool, sink: string, warnings: readonly string[]): Promise<void> {
  await db.query({
    name: 'relay_note_warnings',
    text: `update reprise.sinks set warnings = $2::jsonb where sink = $1::text and warnings <> $2::jsonb`,
    values: [sink, JSON.stringify(warnings)],
  });
}

/** Events recorded since then go there too. False when a sink of that name exists. By the owner's login. */
export async function addSink(db: Pool, { sink, kind, options }: SinkRow): Promise<boolean> {
  const { rows } = await betweenCommits(() =>
    db.query<{ added: boolean }>('select reprise.add_sink($1::text, $2::text, $3::jsonb) as added', [
      sink,
      kind,
      options,
    ]),
  );
  return rows[0]?.added ?? false;
}

/** Answers how many unpublished messages were lost with it; null when there is no such sink. By the owner's login. */
export async function removeSink(db: Pool, sink: string): Promise<number | null> {
  const { rows } = await betweenCommits(() =>
    db.query<{ lost: number | null }>('select reprise.remove_sink($1::text) as lost', [sink]),
  );
  return rows[0]?.lost ?? null;
}

/** It waits for every commit under way; one that holds its locks for longer is not waited for, but tried again. */
async function betweenCommits<T>(change: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await change();
    } catch (error) {
      if (!isLockTrouble(error) || attempt === ATTEMPTS_MAX) throw error;
      await setTimeout(RETRY_MS * (1 + Math.random()));
    }
  }
}
