import type { Pool } from 'pg';
import type { Projection } from '../model/projection';
import { projectionConsumer } from '../workflows/names';
import { withTransaction } from './pool';

/** What a replay of a projection would do, before anything is started. */
export interface ReplayPlan {
  readonly log: LogPlan;
  /** What serves now; null: nothing was made yet. */
  readonly live: LivePlan | null;
  /** `migrate` has run with this version. */
  readonly declared: boolean;
  /** The generation that an open replay builds. */
  readonly building: number | null;
  readonly partitions: number;
  /** Entities held back for the live generation: compared apart. */
  readonly parked_live: number;
  /** Events that are passed over for good, by hand. */
  readonly skips: number;
  /** Events per second of the last replay of it, else of any; null: none was measured. */
  readonly measured: number | null;
}

export interface LogPlan {
  readonly events: number;
  /** Those the projection folds. */
  readonly to_fold: number;
  /** Counted in a sample: the log is long. */
  readonly estimated: boolean;
  /** Of the log that is read, with its indexes. */
  readonly bytes: number;
}

export interface LivePlan {
  readonly generation: number;
  readonly version: number;
  readonly rows: number;
  readonly rows_estimated: boolean;
  readonly table: string;
}

/** What the table of the model's version has that the live one has not, and the other way round. */
export interface ColumnChanges {
  readonly same: readonly string[];
  readonly added: readonly string[];
  readonly removed: readonly string[];
  readonly changed: readonly string[];
  /** The view would lose, move or change a column: that needs `reshape`. */
  readonly reshape: boolean;
}

/** For tests: from how many events or rows on they are estimated, and by a sample of how many. */
export interface PlanBounds {
  readonly countedMax: number;
  readonly sampled: number;
}

// Counting is a second per some million events.
const BOUNDS: PlanBounds = { countedMax: 1_000_000, sampled: 200_000 };

/** By a login that reads. Counts what is small and samples what is not. */
export async function readReplayPlan(db: Pool, projection: Projection, bounds = BOUNDS): Promise<ReplayPlan> {
  const consumer = projectionConsumer(projection.name);
  const { rows } = await db.query<Omit<ReplayPlan, 'log' | 'live'>>(
    `select exists (select from reprise.declarations
                    where consumer = $1::text and declared_version = $2::integer) as declared,
            (select g.generation from reprise.generations g join reprise.replays r using (consumer, generation)
             where g.consumer = $1::text and g.status = 'building' and r.ended_at is null) as building,
            (select count(*) from reprise.partitions) as partitions,
            (select count(*) from reprise.parked k join reprise.generations g using (consumer, generation)
             where k.consumer = $1::text and g.status = 'active') as parked_live,
            (select count(*) from reprise.skips where consumer = $1::text) as skips,
            (select per_second::float8 from reprise.replays where per_second > 0 and selection is null
             order by consumer = $1::text desc, began_at desc limit 1) as measured`,
    [consumer, projection.version],
  );
  const [plan] = rows;
  if (!plan) throw new Error('no row came back');
  return { ...plan, log: await readLog(db, projection, bounds), live: await readLive(db, consumer, bounds) };
}

async function readLog(db: Pool, { from, events }: Projection, { countedMax, sampled }: PlanBounds): Promise<LogPlan> {
  const { rows } = await db.query<{ events: number; bytes: number }>(
    `select coalesce(sum(head), 0)::bigint as events, pg_total_relation_size('reprise.events') as bytes
     from reprise.partitions`,
  );
  const { events: all = 0, bytes = 0 } = rows[0] ?? {};
  const estimated = all > countedMax;
  const counted = await countTaken(db, { from, events, percent: estimated ? (100 * sampled) / all : 100 });
  const share = counted.seen === 0 ? 0 : counted.taken / counted.seen;
  const toFold = estimated ? Math.round(all * share) : counted.taken;
  return { events: all, to_fold: toFold, estimated, bytes: Math.round(bytes * share) };
}

/** Whole pages by chance: their rows are of many entities. */
async function countTaken(
  db: Pool,
  { from, events, percent }: Pick<Projection, 'from' | 'events'> & { readonly percent: number },
): Promise<{ readonly seen: number; readonly taken: number }> {
  const { rows } = await db.query<{ seen: number; taken: number }>(
    `select count(*) as seen,
            count(*) filter (where entity_type = any($1::text[]) and type = any($2::text[])) as taken
     from reprise.events ${percent < 100 ? 'tablesample system ($3::real)' : ''}`,
    percent < 100 ? [from, events, percent] : [from, events],
  );
  return rows[0] ?? { seen: 0, taken: 0 };
}

async function readLive(db: Pool, consumer: string, { countedMax }: PlanBounds): Promise<LivePlan | null> {
  const { rows } = await db.query<Omit<LivePlan, 'rows' | 'rows_estimated'> & { guess: number; counted: string }>(
    `select g.generation, g.declared_version as version, g.table_name as table, c.reltuples::bigint as guess,
            format('select count(*) as rows from read.%I', g.table_name) as counted
     from reprise.generations g join pg_class c on c.oid = format('read.%I', g.table_name)::regclass
     where g.consumer = $1::text and g.status = 'active'`,
    [consumer],
  );
  const [live] = rows;
  if (!live) return null;
  const { generation, version, table, guess, counted } = live;
  if (guess > countedMax) return { generation, version, table, rows: guess, rows_estimated: true };
  const count = await db.query<{ rows: number }>(counted);
  return { generation, version, table, rows: count.rows[0]?.rows ?? 0, rows_estimated: false };
}

/**
 * By the owner's login: makes the declared table for a moment, as a temporary one, since only PostgreSQL knows what columns
 * a declaration has.
 */
export async function compareColumns(db: Pool, live: string, { table }: Projection): Promise<ColumnChanges> {
  return withTransaction(db, async (tx) => {
    await tx.query('set local search_path = reprise, pg_temp');
    await tx.query(`create temporary table declared (${table}) on commit drop`);
    const { rows } = await tx.query<{ side: 'live' | 'declared'; name: string; type: string }>(
      `select case c.oid when 'pg_temp.declared'::regclass then 'declared' else 'live' end as side,
              a.attname as name, format_type(a.atttypid, a.atttypmod) as type
       from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
       where c.oid in ('pg_temp.declared'::regclass, format('read.%I', $1::text)::regclass) order by a.attnum`,
      [live],
    );
    const of = (side: string) => rows.filter((row) => row.side === side);
    return compare(of('live'), of('declared'));
  });
}

type Column = Readonly<{ name: string; type: string }>;

function compare(live: readonly Column[], declared: readonly Column[]): ColumnChanges {
  const typeIn = (columns: readonly Column[], name: string) => columns.find((one) => one.name === name)?.type;
  const names = (columns: readonly Column[], wanted: (column: Column) => boolean) =>
    columns.filter(wanted).map(({ name }) => name);
  return {
    same: names(live, ({ name, type }) => typeIn(declared, name) === type),
    added: names(declared, ({ name }) => typeIn(live, name) === undefined),
    removed: names(live, ({ name }) => typeIn(declared, name) === undefined),
    changed: names(live, ({ name, type }) => ![undefined, type].includes(typeIn(declared, name))),
    // A view is replaced where its columns come first, in their order and with their types.
    reshape: live.some(({ name, type }, at) => declared[at]?.name !== name || declared[at].type !== type),
  };
}
