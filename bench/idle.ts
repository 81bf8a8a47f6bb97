import type { ChildProcess } from 'node:child_process';
import { setTimeout } from 'node:timers/promises';
import type { Pool } from 'pg';
import { openPool } from '../db/pool';
import { addSink } from '../db/sinks';
import { ROLES_IN_USE } from '../db/urls';
import { cpuSeconds } from './cpu';
import { startNats } from './nats';
import { startWorkerRole, stopWorker, workersEnv } from './processes';
import type { Report } from './report';
import { startServers, type BenchServers } from './servers';

const ROLES = ['entity', 'consumers', 'reactions', 'replay'] as const;
const SETTLE_MS = 20_000;
const MEASURE_MS = 60_000;
const SHORT_MS = 10_000;
// Called by nobody: an idle system has no event to react to.
const OUTSIDE = { PAYMENT_PROVIDER_URL: 'http://127.0.0.1:9', SMTP_URL: 'smtp://127.0.0.1:9' };

/** What a system costs that nobody uses: workers as `reprise start` runs them, one sink, every projection of the shop. */
export async function benchIdle(log: (line: string) => void, { short }: { short: boolean }): Promise<Report> {
  const servers = await startServers(log, { shared_preload_libraries: 'pg_stat_statements' });
  const nats = await startNats();
  const owner = openPool({ url: servers.databaseUrl, max: 1, applicationName: 'bench' });
  const workers: ChildProcess[] = [];
  try {
    await owner.query('create extension pg_stat_statements');
    if (nats) await addSink(owner, { sink: 'nats', kind: 'nats', options: {} });
    else log('no nats-server on the PATH: no relay is measured');
    const env = { ...workersEnv(servers, nats?.url), ...OUTSIDE };
    workers.push(...(await Promise.all(ROLES.map((role) => startWorkerRole(role, env)))));
    await setTimeout(SETTLE_MS);
    return { rows: [], figures: await measure(owner, servers, workers, short ? SHORT_MS : MEASURE_MS) };
  } finally {
    await Promise.all(workers.map(stopWorker));
    await owner.end();
    nats?.stop();
    await servers.stop();
  }
}

/** In percent of one core, over the time measured. Children that ended meanwhile are their parent's. */
async function measure(
  owner: Pool,
  servers: BenchServers,
  workers: readonly ChildProcess[],
  ms: number,
): Promise<Record<string, number>> {
  const pids = workers.map(({ pid }) => pid ?? 0);
  const read = async () => ({
    at: performance.now(),
    workers: cpuSeconds(pids),
    temporal: cpuSeconds([servers.temporalPid]),
    postgres: cpuSeconds([servers.postgresPid], { children: true }),
    queries: await queriesOfWorkers(owner),
  });
  const before = await read();
  await setTimeout(ms);
  const after = await read();
  const seconds = (after.at - before.at) / 1000;
  const percent = (of: 'workers' | 'temporal' | 'postgres') => ((after[of] - before[of]) / seconds) * 100;
  return {
    idle_cpu_percent: percent('workers'),
    idle_temporal_cpu_percent: percent('temporal'),
    idle_postgres_cpu_percent: percent('postgres'),
    idle_queries_per_second: (after.queries - before.queries) / seconds,
  };
}

/**
 * Statements that the workers' logins have executed in our database, each execution one, also `begin`, `commit`, `set`
 * and LISTEN, as pg_stat_statements counts them at the top level: what the server itself does (autovacuum) is not there,
 * nor what the bench asks, whose login is the owner's.
 */
async function queriesOfWorkers(owner: Pool): Promise<number> {
  const { rows } = await owner.query<{ calls: number }>(
    `select coalesce(sum(s.calls), 0)::bigint as calls
     from pg_stat_statements s join pg_roles r on r.oid = s.userid join pg_database d on d.oid = s.dbid
     where d.datname = current_database() and r.rolname = any($1::text[])`,
    [ROLES_IN_USE.map((role) => `reprise_${role}`)],
  );
  return rows[0]?.calls ?? NaN;
}
