import { Client, type Pool } from 'pg';
import { openPool } from '../db/pool';
import { orderSummary } from '../shop/order/projections';
import { median } from './measure';
import { applyOneByOne } from './replay/one-by-one';
import { weakBaselines } from './replay/known';
import { EVENTS_PER_ORDER } from './replay/order-log';
import { rebuild, throttled, underLiveLoad } from './replay/ours';
import { builtTable } from './replay/progress';
import { seedLog, seedReadModels } from './replay/seed';
import { sumUp } from './replay/sql-aggregate';
import { streamAll } from './replay/stream';
import { openReplay, type ReplayUnderTest } from './replay/under-test';
import { compareByHash } from './replay/verify-sql';
import type { Report, Row } from './report';
import { startServers } from './servers';

const ORDERS = 100_000;
const ORDERS_LARGE = 1_000_000;
const ROUNDS = 3;
const SAMPLE_ONE_BY_ONE = 3_000;
const LIVE = 'read.order_summary__g1';
const SQL_TABLE = 'bench.summary_sql';
const STREAM_TABLE = 'bench.summary_stream';
const ONE_TABLE = 'bench.summary_one';

type Log = (line: string) => void;
type Figures = Record<string, number>;

/** Rebuilding order_summary from the log: the database alone, the language alone, one event at a time, and ours. */
export async function benchReplay(log: Log, { short }: { short: boolean }): Promise<Report> {
  const small = await measureSize({ orders: ORDERS, extras: short, short }, log);
  const large = short ? null : await measureSize({ orders: ORDERS_LARGE, extras: true, short }, log);
  const figures = large ? together(small.figures, large.figures) : small.figures;
  for (const warning of weakBaselines(figures)) log(warning);
  return { rows: [...small.rows, ...(large?.rows ?? [])], figures };
}

interface Size {
  readonly orders: number;
  /** With what is measured at one size only: throttled, and under live load. */
  readonly extras: boolean;
  readonly short: boolean;
}

/** On servers of its own, so that one size leaves nothing behind for the other. */
async function measureSize(
  { orders, extras, short }: Size,
  log: Log,
): Promise<{ readonly rows: Row[]; readonly figures: Figures }> {
  const servers = await startServers(log);
  const owner = new Client({ connectionString: servers.databaseUrl, application_name: 'bench' });
  const second = new Client({ connectionString: servers.databaseUrl, application_name: 'bench' });
  const db = openPool({ url: servers.databaseUrl, max: 2, applicationName: 'bench-watch' });
  await owner.connect();
  await second.connect();
  let replay: ReplayUnderTest | null = null;
  try {
    log(`writing ${orders * EVENTS_PER_ORDER} events`);
    const events = await seedLog(owner, orders);
    await seedReadModels(owner);
    replay = await openReplay(servers);
    if (!replay) log('replay is not built yet: baselines only');
    const rates = await rebuildInTurns({ owner, second, db, replay, events }, log);
    const verified = await verifyInTurns({ owner, db, replay }, log);
    const figures = { ...rates.figures, ...verified };
    if (replay && extras) {
      Object.assign(figures, await throttled(db, replay));
      const free = figures['replay_events_per_second'] ?? NaN;
      Object.assign(figures, await underLiveLoad({ db, servers, replay, free, short }, log));
    }
    return { rows: rates.rows, figures };
  } finally {
    await replay?.close();
    await owner.end();
    await second.end();
    await db.end();
    await servers.stop();
  }
}

interface Sides {
  readonly owner: Client;
  readonly db: Pool;
  readonly replay: ReplayUnderTest | null;
}

/** Each way to the same rows, in turns, so that a noisy machine is noisy for all. */
async function rebuildInTurns(
  { owner, second, db, replay, events }: Sides & { readonly second: Client; readonly events: number },
  log: Log,
): Promise<{ rows: Row[]; figures: Figures }> {
  const rates = { sql: [] as number[], stream: [] as number[], one: [] as number[], ours: [] as number[] };
  let rssMb = 0;
  for (let round = 1; round <= ROUNDS; round++) {
    rates.sql.push(events / (await timed(owner, SQL_TABLE, () => sumUp(owner, SQL_TABLE))));
    rates.stream.push(events / (await timed(owner, STREAM_TABLE, () => streamAll([owner, second], STREAM_TABLE))));
    const one = await timed(owner, ONE_TABLE, () => applyOneByOne(owner, ONE_TABLE, SAMPLE_ONE_BY_ONE));
    rates.one.push(SAMPLE_ONE_BY_ONE / one);
    if (replay) {
      if (round > 1) await replay.drop();
      const ours = await rebuild(db, replay);
      rates.ours.push(ours.perSecond);
      rssMb = Math.max(rssMb, ours.rssMb);
    }
    const said = Object.entries(rates).map(([name, list]) => `${name} ${list.at(-1)?.toFixed(0) ?? '-'}/s`);
    log(`${events} events, round ${round} of ${ROUNDS}: ${said.join(', ')}`);
  }
  return {
    rows: [
      row(`${events} events: one SQL aggregate`, rates.sql),
      row(`${events} events: a hand-written stream, all in memory`, rates.stream),
      row(`${events} events: one event per transaction`, rates.one),
      ...(replay ? [row(`${events} events: replay`, rates.ours)] : []),
    ],
    figures: {
      sql_events_per_second: median(rates.sql),
      stream_events_per_second: median(rates.stream),
      one_event_per_second: median(rates.one),
      ...(replay && {
        replay_events_per_second: median(rates.ours),
        replay_vs_stream: median(rates.ours.map((ours, round) => ours / (rates.stream[round] ?? NaN))),
        replay_rss_mb: rssMb,
      }),
    },
  };
}

/** Seconds from an empty table of the projection's own declaration. */
async function timed(owner: Client, table: string, work: () => Promise<void>): Promise<number> {
  await owner.query(`create schema if not exists bench`);
  await owner.query(`drop table if exists ${table}`);
  await owner.query(`create table ${table} (${orderSummary.table})`);
  const startedAt = performance.now();
  await work();
  return (performance.now() - startedAt) / 1_000;
}

/** Rows of one table a second, each compared with its other. The baselines' rows are those of the live read model, too. */
async function verifyInTurns({ owner, db, replay }: Sides, log: Log): Promise<Figures> {
  await owner.query(`vacuum analyze ${SQL_TABLE}, ${STREAM_TABLE}`);
  await compareByHash(owner, LIVE, STREAM_TABLE);
  await compareByHash(owner, LIVE, SQL_TABLE);
  const other = replay ? await builtTable(db) : SQL_TABLE;
  await owner.query(`vacuum analyze ${LIVE}, ${other}`);
  const sql: number[] = [];
  const ours: number[] = [];
  for (let round = 1; round <= ROUNDS; round++) {
    const startedAt = performance.now();
    const compared = await compareByHash(owner, LIVE, other);
    sql.push((compared / (performance.now() - startedAt)) * 1_000);
    if (replay) ours.push(compared / (await replay.verify()).seconds);
    log(`verify, round ${round}: one query ${sql.at(-1)?.toFixed(0)} rows/s, ours ${ours.at(-1)?.toFixed(0) ?? '-'}`);
  }
  if (replay) await replay.drop();
  return {
    verify_sql_rows_per_second: median(sql),
    ...(replay && { verify_vs_sql: median(ours.map((rate, round) => rate / (sql[round] ?? NaN))) }),
  };
}

const row = (what: string, rates: readonly number[]): Row => ({
  what,
  perSecond: median(rates),
  p50Ms: NaN,
  p99Ms: NaN,
});

/** Figures of the small log by their names, those of the large one with `_3m`; what holds for both is the worse of them. */
function together(small: Figures, large: Figures): Figures {
  const of = (figures: Figures, name: string) => figures[name] ?? NaN;
  const once = Object.entries(large).filter(([name]) => !Object.hasOwn(small, name));
  const again = Object.entries(large).filter(([name]) => Object.hasOwn(small, name));
  return {
    ...small,
    ...Object.fromEntries(again.map(([name, value]) => [`${name}_3m`, value])),
    ...Object.fromEntries(once),
    ...(Object.hasOwn(small, 'replay_events_per_second') && {
      replay_3m_vs_300k: of(large, 'replay_events_per_second') / of(small, 'replay_events_per_second'),
      replay_rss_mb: Math.max(of(small, 'replay_rss_mb'), of(large, 'replay_rss_mb')),
      verify_vs_sql: Math.min(of(small, 'verify_vs_sql'), of(large, 'verify_vs_sql')),
    }),
  };
}
