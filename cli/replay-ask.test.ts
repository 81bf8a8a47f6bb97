import { NativeConnection, Worker } from '@temporalio/worker';
import { ApplicationFailure } from '@temporalio/common';
import { movePhase } from '../db/replays';
import { model } from '../shop/model';
import { Cli } from '../test/support/cli';
import { TestSystem } from '../test/support/system';
import { REPLAY_QUEUE } from '../workflows/names';
import type { Build, ReplayActivities, Verdict } from '../workflows/replay';

// What replays do is tested where it is done; here it is what the command line makes of its outcomes, so activities answer
// as they are told to. The workflow is the real one.
let system: TestSystem<typeof model.entities>;
let cli: Cli;
let worker: Worker;
let connection: NativeConnection;
let running: Promise<void>;
const verdicts: Verdict[] = [];
const refusals: string[] = [];

beforeAll(async () => {
  system = await TestSystem.open(model);
  connection = await NativeConnection.connect({ address: system.address });
  cli = new Cli({
    DATABASE_URL: system.database.url,
    REPRISE_WORKFLOW_ID_PREFIX: system.name,
    TEMPORAL_ADDRESS: system.address,
  });
  worker = await Worker.create({
    connection,
    taskQueue: system.name + REPLAY_QUEUE,
    workflowsPath: require.resolve('../workflows/replay'),
    activities: told(),
  });
  running = worker.run();
});
afterAll(async () => {
  worker.shutdown();
  await running;
  await connection.close();
  cli.remove();
  await system.close();
});

const REPORT = {
  comparedRows: 830,
  missing: 1,
  extra: 0,
  different: 2,
  share: 3 / 830,
  samples: [
    {
      key: '10248',
      kind: 'different',
      active: { status: 'paid' },
      built: { status: 'ship\nped' },
      changed: ['status'],
    },
    { key: '10249', kind: 'missing', active: { status: 'paid' }, built: null, changed: [] },
  ],
  columns: { added: ['note'], removed: [], retyped: [{ name: 'units', from: 'integer', to: 'bigint' }] },
  parkedLive: ['order/7'],
  parkedNew: [],
  skips: [],
};

function told(): ReplayActivities {
  const { db } = system;
  const refuseWhenTold = () => {
    const message = refusals.shift();
    if (message !== undefined) throw ApplicationFailure.create({ type: 'Refused', nonRetryable: true, message });
  };
  return {
    begin: async ({ projection, actor }) => {
      const { rows } = await db.query<Build>(
        `insert into reprise.replays (consumer, generation, actor)
         select $1::text, reprise.create_generation($1::text, 1, 'building'), $2::text returning consumer, generation`,
        [`projection/${projection}`, actor],
      );
      return rows[0] as Build;
    },
    refold: async () => 'refolded',
    fill: async () => 'filled',
    index: async () => undefined,
    verify: async (build) => {
      const verdict = verdicts.shift() ?? { passed: true, summary: 'identical: 830 rows' };
      await movePhase(db, build, { phase: verdict.passed ? 'verified' : 'different', report: REPORT });
      return verdict;
    },
    switchOver: async (build) => {
      refuseWhenTold();
      await movePhase(db, build, { phase: 'switched' });
      return 1;
    },
    rollBack: async (build) => {
      refuseWhenTold();
      await movePhase(db, build, { phase: 'rolled-back' });
    },
    drop: async (build, generation, phase) => {
      await db.query('select reprise.drop_generation($1::text, $2::integer)', [build.consumer, generation]);
      await db.query(
        `update reprise.replays set ended_at = clock_timestamp(), phase = coalesce($2::text, phase) where generation = $1::integer`,
        [build.generation, phase],
      );
    },
    control: async () => undefined,
    look: async () => 'moving',
  };
}

const ask = (...args: string[]) => cli.ask('replay', ...args);

test('a replay that differs is reported, accepted, refused a switch, switched and rolled back', async () => {
  verdicts.push({ passed: false, summary: '3 rows differ' });
  expect(await cli.run('replay', 'start', 'order_summary')).toMatchObject({
    status: 1,
    stderr: expect.stringMatching(/3 rows differ \(replay_different\)\n.*reprise replay report/) as string,
  });
  expect(await ask('switch', 'order_summary')).toMatchObject({
    status: 1,
    told: { error: { code: 'replay_refused', message: 'switch: it is different now' } },
  });

  const report = (await cli.run('replay', 'report', 'order_summary')).stdout;
  expect(report).toMatch(/differ +3 \(0\.36 %\): 1 missing, 0 extra, 2 different/);
  expect(report).toMatch(/10248 +different +status: paid -> ship ped\n/);
  expect(report).toMatch(/columns of another type: 1: units \(integer to bigint\)/);
  expect(await ask('report', 'order_summary')).toMatchObject({ told: { report: REPORT } });

  const unconfirmed = await cli.run('replay', 'accept', 'order_summary');
  expect(unconfirmed).toMatchObject({
    status: 2,
    stderr: expect.stringMatching(/830 rows[^]*not_confirmed/) as string,
  });
  expect(await ask('accept', 'order_summary', '--yes')).toMatchObject({ status: 0, told: { stage: 'verified' } });

  refusals.push('2 entities are parked');
  expect(await ask('switch', 'order_summary')).toMatchObject({
    status: 1,
    told: { error: { code: 'replay_refused', message: 'order_summary: not switched: 2 entities are parked' } },
  });
  expect(await cli.run('replay', 'switch', 'order_summary')).toMatchObject({
    status: 0,
    stdout: expect.stringMatching(/read\.order_summary shows generation 2 from now on\.\n.*rollback/) as string,
  });

  refusals.push('generation 1 is behind');
  expect(await ask('rollback', 'order_summary')).toMatchObject({
    status: 1,
    told: { error: { message: 'order_summary: not rolled back: generation 1 is behind' } },
  });
  expect(await ask('rollback', 'order_summary')).toMatchObject({ status: 0, told: { stage: 'rolled-back' } });
}, 180_000);

test('one that is verified waits, is verified again and dropped; a rehearsal ends by itself', async () => {
  expect(await cli.run('replay', 'start', 'user_balance')).toMatchObject({
    status: 0,
    stdout: expect.stringMatching(/identical: 830 rows\n.*reprise replay switch user_balance/) as string,
  });
  expect(await ask('verify', 'user_balance')).toMatchObject({ told: { summary: 'identical: 830 rows' } });
  expect(await ask('drop', 'user_balance')).toMatchObject({ status: 2, told: { error: { code: 'not_confirmed' } } });
  expect(await ask('drop', 'user_balance', '--yes')).toMatchObject({ status: 0, told: { stage: 'ended' } });
  expect(await cli.run('replay', 'start', 'user_balance', '--rehearsal')).toMatchObject({
    status: 0,
    stdout: expect.stringMatching(/built, verified and removed/) as string,
  });
  expect(await ask('ls')).toMatchObject({ told: { replays: [{ phase: 'dropped' }, { phase: 'cancelled' }, {}] } });
}, 180_000);
