import type { Pool } from 'pg';
import { pendingMigrations } from '../../db/migrate';
import { openPool } from '../../db/pool';
import { readProjections } from '../../db/projections';
import { ROLES_IN_USE, roleUrl } from '../../db/urls';
import type { Model } from '../../model/model';
import type { Context } from '../context';
import { attemptCheck, type Check } from './check';
import { checkReplays } from './replays';
import { checkSinks } from './sinks';

// An old snapshot slows every head update by a quarter per 100,000 commits under it.
const SNAPSHOT_SECONDS_MAX = 60;
const CONNECTIONS_FREE_MIN = 20;
// Live consumers are behind for milliseconds; one that is started again by its worker is away half a minute at most.
const LAG_SECONDS_MAX = 30;

/** PostgreSQL: reachable, durable, migrated, with logins of its own, and nothing that holds it back. */
export async function databaseChecks(context: Context, model: Model): Promise<Check[]> {
  const db = openPool({ url: context.databaseUrl, max: 1, applicationName: 'reprise-doctor' });
  try {
    const reachable = await attemptCheck('postgresql', () => checkVersion(db));
    if (reachable.some(({ status }) => status === 'fail')) return reachable;
    return [
      ...reachable,
      ...(await attemptCheck('durability', () => checkDurability(db))),
      ...(await attemptCheck('migrations', () => checkMigrations(db))),
      ...(await attemptCheck('logins', () => Promise.resolve(checkLogins(context)))),
      ...(await attemptCheck('oldest snapshot', () => checkSnapshots(db))),
      ...(await attemptCheck('connections', () => checkConnections(db))),
      ...(await attemptCheck('read models', () => checkReadModels(db, model))),
      ...(await attemptCheck('consumers', () => checkConsumers(db))),
      ...(await attemptCheck('replays', () => checkReplays(db))),
      ...(await attemptCheck('sinks', () => checkSinks(db))),
    ];
  } finally {
    await db.end();
  }
}

async function checkVersion(db: Pool): Promise<Check> {
  const { rows } = await db.query<{ version: string; number: number }>(
    "select current_setting('server_version') as version, current_setting('server_version_num')::integer as number",
  );
  const { version = '?', number = 0 } = rows[0] ?? {};
  return number >= 140000
    ? { check: 'postgresql', status: 'pass', found: version }
    : { check: 'postgresql', status: 'fail', found: version, next: 'Reprise needs PostgreSQL 14 or newer.' };
}

async function checkDurability(db: Pool): Promise<Check[]> {
  const { rows } = await db.query<{ name: string; setting: string }>(
    `select name, setting from pg_settings
     where name in ('fsync', 'synchronous_commit', 'full_page_writes', 'synchronous_standby_names') order by name`,
  );
  const settings = new Map(rows.map(({ name, setting }) => [name, setting]));
  const { rows: replicas } = await db.query<{ count: number }>('select count(*) as count from pg_stat_replication');
  const durable = ['fsync', 'synchronous_commit', 'full_page_writes'].map((name): Check => {
    const found = settings.get(name) ?? '?';
    return found === 'off'
      ? { check: name, status: 'fail', found, next: `Set ${name} = on: with off, acknowledged commands can be lost.` }
      : { check: name, status: 'pass', found };
  });
  const asynchronous = (replicas[0]?.count ?? 0) > 0 && !settings.get('synchronous_standby_names');
  return asynchronous
    ? [
        ...durable,
        {
          check: 'failover',
          status: 'warn',
          found: 'asynchronous replicas',
          next: 'A failover can un-commit what was already published: set synchronous_standby_names.',
        },
      ]
    : durable;
}

async function checkMigrations(db: Pool): Promise<Check> {
  const pending = await pendingMigrations(db);
  return pending.length === 0
    ? { check: 'migrations', status: 'pass', found: 'current' }
    : { check: 'migrations', status: 'fail', found: `${pending.length} to apply`, next: "Run 'reprise migrate'." };
}

function checkLogins(context: Context): Check {
  const source = { url: context.databaseUrl, owned: context.ownsDatabase };
  const shared = ROLES_IN_USE.filter((role) => roleUrl(role, process.env, source).fellBack);
  return shared.length === 0
    ? { check: 'logins', status: 'pass', found: 'one per role' }
    : {
        check: 'logins',
        status: 'warn',
        found: `${shared.join(', ')} use DATABASE_URL`,
        next: `Set ${shared.map((role) => `DATABASE_URL_${role.toUpperCase()}`).join(', ')}: then a grant, not a habit, keeps each to its own.`,
      };
}

async function checkSnapshots(db: Pool): Promise<Check> {
  const { rows } = await db.query<{ seconds: number | null }>(
    `select max(extract(epoch from clock_timestamp() - xact_start))::float8 as seconds from pg_stat_activity
     where (backend_xmin is not null or backend_xid is not null) and pid <> pg_backend_pid() and backend_type = 'client backend'`,
  );
  const seconds = rows[0]?.seconds ?? 0;
  const found = `${seconds.toFixed(1)} s`;
  return seconds <= SNAPSHOT_SECONDS_MAX
    ? { check: 'oldest snapshot', status: 'pass', found }
    : {
        check: 'oldest snapshot',
        status: 'warn',
        found,
        next: 'End that transaction: every commit slows while it is open.',
      };
}

async function checkConnections(db: Pool): Promise<Check> {
  const { rows } = await db.query<{ used: number; max: number }>(
    "select (select count(*) from pg_stat_activity) as used, current_setting('max_connections')::bigint as max",
  );
  const { used = 0, max = 0 } = rows[0] ?? {};
  const found = `${used} of ${max}`;
  return max - used >= CONNECTIONS_FREE_MIN
    ? { check: 'connections', status: 'pass', found }
    : { check: 'connections', status: 'warn', found, next: 'Raise max_connections, or find who holds them.' };
}

/** One that is older than the model is built again by a replay, while it serves. */
export async function checkReadModels(db: Pool, model: Model): Promise<Check[]> {
  const builds = await readProjections(db);
  return model.projections.map(({ name, version }): Check => {
    const check = `read.${name}`;
    const active = builds.find((build) => build.name === name && build.status === 'active');
    if (!active) return { check, status: 'fail', found: 'no table', next: "Run 'reprise migrate'." };
    const found = `generation ${active.generation}, ${active.lag_events} events behind, ${active.consumer}`;
    if (active.version !== version) {
      const next =
        version > active.version
          ? `The model declares version ${version}, the table is of version ${active.version}: run 'reprise replay start ${name}'.`
          : `The table is of version ${active.version}, this code declares ${version}: it is older than what serves.`;
      return { check, status: 'warn', found, next };
    }
    return active.consumer === 'running'
      ? { check, status: 'pass', found }
      : { check, status: 'warn', found, next: "See 'reprise projection ls'." };
  });
}

/** One that is paused or parked has a reason of its own; one that is said to run and does not get on has nobody. */
export async function checkConsumers(db: Pool): Promise<Check[]> {
  const { rows } = await db.query<{ consumer: string; lag_events: number; lag_seconds: number }>(
    `select consumer || case generation when 0 then '' else '/g' || generation end as consumer,
            sum(lag_events)::bigint as lag_events, max(lag_seconds)::float8 as lag_seconds
     from reprise.lag where status = 'running' group by consumer, generation
     union all
     select 'relay/' || o.sink, count(*), extract(epoch from clock_timestamp() - min(o.created_at))::float8
     from reprise.outbox o
     where not exists (select from reprise.checkpoints c
                       where c.consumer = 'relay/' || o.sink and c.status <> 'running')
     group by o.sink
     order by 1`,
  );
  const late = rows.filter(({ lag_seconds }) => lag_seconds > LAG_SECONDS_MAX);
  if (late.length === 0) return [{ check: 'consumers', status: 'pass', found: 'none is late' }];
  return late.map(({ consumer, lag_events, lag_seconds }) => ({
    check: consumer,
    status: 'warn',
    found: `${lag_events} behind, the oldest for ${Math.round(lag_seconds)} s, though it is not paused`,
    next: `Does a worker for it run? Its workflow ${consumer} in Temporal shows what it waits for.`,
  }));
}
