import { randomUUID } from 'node:crypto';
import { Client, Connection } from '@temporalio/client';
import type { ChildProcess } from 'node:child_process';
import { openPool } from '../db/pool';
import { setPaused } from '../db/reactions';
import { roleUrl } from '../db/urls';
import { model } from '../shop/model';
import { createOrder } from '../shop/order/contract';
import { makeGroupCommit } from '../workers/group-commit';
import { drive, median } from './measure';
import { startProcess } from './processes';
import { startServers } from './servers';
import type { Report } from './report';

const ROUNDS = 3;
const STARTS = 600;
const IN_FLIGHT = 64; // as many as the reactor has
const CONSUMER = 'reaction/bench-nothing';
const LINES = [{ productId: '11', unitPriceMinor: 1_400, quantity: 12, discountPercent: 0 }];

/** Starts: ours from events in the log, beside `workflow.start` of a one-activity workflow, in turns on one server. */
export async function benchReactions(log: (line: string) => void, { short }: { short: boolean }): Promise<Report> {
  const servers = await startServers(log);
  const owner = { url: servers.databaseUrl, owned: true };
  const db = openPool({ url: servers.databaseUrl, max: 4, applicationName: 'bench' });
  const { commit, close } = await makeGroupCommit(model, roleUrl('commit', {}, owner).url);
  const env = { BENCH_TEMPORAL: servers.temporalAddress, BENCH_DATABASE_URL: servers.databaseUrl };
  const children: ChildProcess[] = [];
  const starts = short ? STARTS / 4 : STARTS;
  try {
    children.push(await startProcess('one-activity.ts', [], env), await startProcess('ours.ts', ['reactions'], env));
    const temporal = new Client({ connection: await Connection.connect({ address: servers.temporalAddress }) });
    const rounds: { bare: number; ours: number }[] = [];
    for (let round = 0; round <= ROUNDS; round++) {
      log(round === 0 ? 'warming up' : `round ${round} of ${ROUNDS}`);
      const bare = await drive(starts, IN_FLIGHT, async (n) => {
        await temporal.workflow.start('oneActivity', {
          workflowId: `bare-reaction/${round}/${n}`,
          taskQueue: 'bench-one',
          args: [{ version: n }],
        });
      });
      await untilNoneRuns(temporal, 'oneActivity');
      await setPaused(db, CONSUMER, true);
      await commitOrders(commit, `r${round}`, starts);
      const ours = await timeToStart(db, starts);
      await untilNoneRuns(temporal, 'reaction');
      if (round > 0) rounds.push({ bare: bare.perSecond, ours });
    }
    await temporal.connection.close();
    const of = (side: 'bare' | 'ours') => median(rounds.map((round) => round[side]));
    return {
      rows: [
        { what: 'bare workflow.start, one activity', perSecond: of('bare'), p50Ms: NaN, p99Ms: NaN },
        { what: 'reactions started from the log', perSecond: of('ours'), p50Ms: NaN, p99Ms: NaN },
      ],
      figures: {
        reactions_vs_bare_start: median(rounds.map(({ bare, ours }) => ours / bare)),
        bare_starts_per_second: of('bare'),
        reactions_started_per_second: of('ours'),
      },
    };
  } finally {
    for (const child of children) child.kill('SIGKILL');
    await close();
    await db.end();
    await servers.stop();
  }
}

type Commit = Awaited<ReturnType<typeof makeGroupCommit>>['commit'];

async function commitOrders(commit: Commit, tag: string, count: number): Promise<void> {
  const { name, data } = createOrder({ customerId: 'VINET', currency: 'EUR', terms: 'account', lines: LINES });
  await drive(count, IN_FLIGHT, async (n) => {
    await commit([{ entityType: 'order', entityId: `${tag}-${n}`, commandId: randomUUID(), name, version: 1, data }]);
  });
}

/** From the moment the reactor may go on until its checkpoint is behind the last event: rows, starts and checkpoint. */
async function timeToStart(db: ReturnType<typeof openPool>, count: number): Promise<number> {
  const startedAt = performance.now();
  await setPaused(db, CONSUMER, false);
  await db.query(`select pg_notify('reprise_wake', '')`);
  for (;;) {
    const { rows } = await db.query<{ lag: number }>(
      'select sum(lag_events)::integer as lag from reprise.lag where consumer = $1',
      [CONSUMER],
    );
    if (rows[0]?.lag === 0) return count / ((performance.now() - startedAt) / 1000);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** A round begins when the one before has nothing left to do. */
async function untilNoneRuns(temporal: Client, type: string): Promise<void> {
  const query = `WorkflowType = '${type}' and ExecutionStatus = 'Running'`;
  while ((await temporal.workflow.count(query)).count > 0) await new Promise((resolve) => setTimeout(resolve, 100));
}
