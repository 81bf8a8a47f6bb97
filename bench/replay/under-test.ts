import type { ChildProcess } from 'node:child_process';
import { Client, Connection } from '@temporalio/client';
import type { Pool } from 'pg';
import { askReplay, startReplay, type ReplayDoor } from '../../client/replay';
import { openPool } from '../../db/pool';
import { readReplays, type ReplayPhase } from '../../db/replays';
import { orderSummary } from '../../shop/order/projections';
import type { ReplayInput } from '../../workflows/replay';
import { startWorkerRole, stopWorker, workersEnv } from '../processes';
import type { BenchServers } from '../servers';

/** `free`: as fast as it goes. `adaptive`: the default, yielding to live work. A number: events/s at most. */
export type Pace = 'free' | 'adaptive' | number;

/** What the bench needs of our replay, of projection `order_summary`. Nothing is ever switched. */
export interface ReplayUnderTest {
  readonly worker: ChildProcess;
  /** Begins a rebuild into the next generation and returns as soon as it was asked for. */
  readonly start: (pace: Pace) => Promise<void>;
  /** Compares the generation that was built with the live one; throws when they differ. How long the comparison took. */
  readonly verify: () => Promise<{ readonly seconds: number }>;
  /** Cancels what runs and drops the generation. */
  readonly drop: () => Promise<void>;
  readonly close: () => Promise<void>;
}

const NAME = orderSummary.name;
const WAIT_MS_MAX = 10 * 60_000;
const POLL_MS = 20;

/** Our replay as a user has it: a worker process of its own, started by `reprise worker replay`, asked through Temporal. */
export async function openReplay(servers: BenchServers): Promise<ReplayUnderTest> {
  const worker = await startWorkerRole('replay', workersEnv(servers));
  const connection = await Connection.connect({ address: servers.temporalAddress });
  const door: ReplayDoor = { temporal: new Client({ connection }), idPrefix: '' };
  const db = openPool({ url: servers.databaseUrl, max: 1, applicationName: 'bench-replay' });
  return {
    worker,
    start: async (pace) => {
      await startReplay(door, inputFor(pace));
    },
    verify: async () => {
      await reach(db, ['verified', 'different']);
      const before = (await newest(db))?.report;
      await askReplay(door, NAME, 'verify');
      return secondsOf(await reach(db, ['verified', 'different'], (report) => !sameReport(report, before)));
    },
    drop: async () => {
      await askReplay(door, NAME, 'cancel').catch(() => undefined); // it may have ended by itself
      await reach(db, ['cancelled', 'dropped']);
      await door.temporal.workflow.getHandle(`replay/${NAME}`).result();
    },
    close: async () => {
      await stopWorker(worker);
      await connection.close();
      await db.end();
    },
  };
}

const inputFor = (pace: Pace): ReplayInput => ({
  projection: NAME,
  declaredVersion: orderSummary.version,
  selection: null,
  rate: typeof pace === 'number' ? pace : null,
  adaptive: pace === 'adaptive',
  slices: 1,
  switchWhenVerified: false,
  tolerance: { maxDifferent: 0 },
  graceMs: 0,
  reshape: false,
  rehearsal: false,
  actor: 'bench',
});

interface Report {
  readonly seconds: number;
  readonly at?: string;
}

const newest = async (db: Pool) => (await readReplays(db, NAME, 1))[0];
const sameReport = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

async function reach(db: Pool, phases: readonly ReplayPhase[], isIt = (_: unknown) => true): Promise<unknown> {
  for (const until = Date.now() + WAIT_MS_MAX; Date.now() < until;) {
    const status = await newest(db);
    if (status && phases.includes(status.phase) && isIt(status.report)) return status.report;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  throw new Error(`the replay did not become ${phases.join(' or ')}`);
}

function secondsOf(report: unknown): { readonly seconds: number } {
  const { seconds, missing, extra, different } = report as Report & Record<string, number>;
  if ((missing ?? 0) + (extra ?? 0) + (different ?? 0) > 0) throw new Error('what was built differs from what is live');
  return { seconds };
}
