import { setTimeout } from 'node:timers/promises';
import type { Pool } from 'pg';
import { orderSummary } from '../../shop/order/projections';
import { projectionConsumer } from '../../workflows/names';
import type { Sighting } from './windows';

// A hundredth of the windows that are measured: what is seen late is seen late by no more.
const POLL_MS = 10;
const CONSUMER = projectionConsumer(orderSummary.name);

export interface Until {
  /** Ends when so many events are applied … */
  readonly total: number;
  /** … or after this long. */
  readonly msMax: number;
}

/** Watches the generation that is being built: events whose rows are committed, by the checkpoints that moved with them. */
export async function watchProgress(db: Pool, { total, msMax }: Until): Promise<Sighting[]> {
  const sightings: Sighting[] = [];
  const endsAt = performance.now() + msMax;
  while (performance.now() < endsAt && (sightings.at(-1)?.total ?? 0) < total) {
    if (sightings.length > 0) await setTimeout(POLL_MS);
    sightings.push(await see(db));
  }
  return sightings;
}

/** The last of the rebuilds beside the live generation; at 0 before there is one. */
async function see(db: Pool): Promise<Sighting> {
  const { rows } = await db.query<{ at_ms: number; total: number }>({
    name: 'bench_progress',
    text: `select (extract(epoch from clock_timestamp()) * 1000)::float8 as at_ms,
                  coalesce(sum(next_offset - 1), 0)::bigint as total
           from reprise.checkpoints
           where consumer = $1::text and generation = (
             select max(n.generation) from reprise.generations n
             join reprise.generations live on live.consumer = n.consumer and live.status = 'active'
             where n.consumer = $1::text and n.status <> 'dropped' and n.generation > live.generation)`,
    values: [CONSUMER],
  });
  const row = rows[0];
  return { atMs: row?.at_ms ?? NaN, total: row?.total ?? 0 };
}

/** The table of the generation that was built last. */
export async function builtTable(db: Pool): Promise<string> {
  const { rows } = await db.query<{ table_name: string }>(
    `select table_name from reprise.generations where consumer = $1::text and status <> 'dropped'
     order by generation desc limit 1`,
    [CONSUMER],
  );
  return `read.${rows[0]?.table_name ?? orderSummary.name}`;
}

/** Events in the log. */
export async function eventsInLog(db: Pool): Promise<number> {
  const { rows } = await db.query<{ events: number }>('select sum(head)::bigint as events from reprise.partitions');
  return rows[0]?.events ?? 0;
}
