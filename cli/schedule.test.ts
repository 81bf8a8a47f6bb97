import { NativeConnection } from '@temporalio/worker';
import { makeCommit } from '../activities/commit';
import { toMessage } from '../client/door';
import { openPool } from '../db/pool';
import { model } from '../shop/model';
import { order } from '../shop/order/entity';
import { Cli } from '../test/support/cli';
import { create } from '../test/support/orders';
import { TestSystem } from '../test/support/system';
import { until } from '../test/support/until';
import { runReplayWorker } from '../workers/replay';
import type { Running } from '../workers/running';

let system: TestSystem<typeof model.entities>;
let cli: Cli;
let connection: NativeConnection;
let worker: Running | null = null;

beforeAll(async () => {
  system = await TestSystem.open(model);
  const { database, name, address } = system;
  cli = new Cli({
    ...{ DATABASE_URL: database.url, TEMPORAL_ADDRESS: address, REPRISE_WORKFLOW_ID_PREFIX: name },
    ...{ DATABASE_URL_READ: database.urlOf('read'), DATABASE_URL_PROJECT: database.urlOf('project') },
  });
  connection = await NativeConnection.connect({ address });
  await system.startConsumers();
  const db = openPool({ url: database.urlOf('commit'), max: 1, applicationName: 'test' });
  const commit = makeCommit({ db, model, partitions: 64, wake: () => undefined });
  await commit(Array.from({ length: 12 }, (_, nth) => toMessage(order, `o-${nth}`, create(), {})));
  await db.end();
  await until(async () => (await count('read.order_summary')) === 12, { what: 'the orders are projected' });
}, 120_000);
afterAll(async () => {
  cli.remove();
  await worker?.stop();
  await connection.close();
  await system.close();
});

const count = async (table: string): Promise<number> => {
  const { rows } = await system.db.query<{ count: number }>(`select count(*) from ${table}`);
  return rows[0]?.count ?? 0;
};

const startWorker = () =>
  runReplayWorker({
    model,
    connection,
    namespace: 'default',
    databaseUrl: system.database.urlOf('replay'),
    readUrl: system.database.urlOf('read'),
    idPrefix: system.name,
  });

test.each([
  [['schedule', 'create', 'Nightly!', 'audit', 'order_summary', '--cron', '0 3 * * *'], /'Nightly!' is no name/],
  [['schedule', 'create', 'n', 'cleaning', 'order_summary', '--cron', '0 3 * * *'], /nothing of kind 'cleaning'/],
  [['schedule', 'create', 'n', 'audit', 'order_summry', '--cron', '0 3 * * *'], /no projection 'order_summry'/],
  [['schedule', 'create', 'n', 'audit', 'order_summary'], /needs --cron/],
  [['schedule', 'create', 'n', 'audit', 'order_summary', '--cron', 'at night'], /at night/],
  [['schedule', 'create', 'n', 'audit', 'order_summary', '--cron', '0 3 * * *', '--rate', '5'], /--rate is nothing of/],
  [['schedule', 'create', 'n', 'replay', 'order_summary', '--cron', '0 3 * * *', '--entities', '5'], /--entities is nothing/], // prettier-ignore
  [['audit', 'run', 'order_summary', '--entities', '0'], /--entities 0: not a number of entities/],
  [['projection', 'repair', 'order_summary'], /what is to be repaired/],
  [['projection', 'repair', 'order_summary', 'payment/1'], /folds no entity 'payment'/],
])('a wrong call ends with 2 and one line that helps: %j', async (args, message) => {
  const { status, stderr } = await cli.run(...args);
  expect({ status, stderr }).toEqual({ status: 2, stderr: expect.stringMatching(message) as string });
  expect(stderr).not.toMatch(/\n\s+at .*:\d+/);
});

test('an audit needs a worker of replays; with one it is run, and what it finds is mended by repair', async () => {
  expect(await cli.ask('audit', 'run', 'order_summary')).toMatchObject({ status: 1, told: { error: { code: 'no_worker' } } }); // prettier-ignore
  worker = await startWorker();
  const clean = {
    audit: 'order_summary',
    entities: 12,
    rows: 12,
    states: 12,
    different: 0,
    notCompared: 0,
    differ: [],
  };
  await until(async () => (await cli.ask('audit', 'run', 'order_summary')).status === 0, {
    what: 'its worker is seen',
  });
  expect(await cli.ask('audit', 'run', 'order_summary')).toEqual({ status: 0, told: clean });
  await system.db.query(`update read.order_summary__g1 set units = 0 where order_id = 'o-7'`);
  expect(await cli.ask('audit', 'run', 'order_summary')).toMatchObject({
    status: 1,
    told: { different: 1, differ: [{ consumer: 'projection/order_summary', subject: 'o-7', detail: 'units' }] },
  });
  expect(await cli.ask('projection', 'repair', 'order_summary', 'order/o-7')).toMatchObject({
    status: 0,
    told: { outcome: 'changed', columns: [{ column: 'units', before: '0', after: '12' }] },
  });
  expect(await cli.ask('projection', 'repair', 'order_summary', 'order/nobody')).toMatchObject({
    status: 1,
    told: { error: { code: 'not_found' } },
  });
  expect(await cli.ask('audit', 'ls')).toMatchObject({ status: 0, told: { differ: [] } });
}, 120_000);

test('a schedule is created, listed, triggered, paused, resumed and deleted', async () => {
  const nightly = ['nightly', 'audit', 'order_summary', '--cron', '0 3 * * *', '--entities', '5'];
  expect(await cli.ask('schedule', 'create', ...nightly)).toMatchObject({ status: 0, told: { created: 'nightly' } });
  expect(await cli.ask('schedule', 'create', ...nightly)).toMatchObject({ status: 1, told: { error: { code: 'exists' } } }); // prettier-ignore
  const listed = async () => {
    const { told } = await cli.ask('schedule', 'ls');
    return (told as { schedules: { name: string; paused: boolean }[] }).schedules.find(
      ({ name }) => name === 'nightly',
    );
  };
  const found = await until(listed, { what: 'it is listed' });
  expect(found).toMatchObject({
    ...{ kind: 'audit', projection: 'order_summary', cron: '0 3 * * *', paused: false },
    next: expect.stringMatching(/T03:00:00/) as string,
  });
  const audits = await count('reprise.audits where ended_at is not null');
  expect(await cli.ask('schedule', 'trigger', 'nightly')).toMatchObject({ status: 0 });
  await until(async () => (await count('reprise.audits where ended_at is not null')) === audits + 1, { what: 'it audits' }); // prettier-ignore
  const { rows } = await system.db.query<{ entities: number }>(
    'select entities from reprise.audits order by began_at desc limit 1',
  );
  expect(rows).toEqual([{ entities: 5 }]);

  expect(await cli.ask('schedule', 'pause', 'nightly')).toMatchObject({ status: 0 });
  await until(async () => (await listed())?.paused, { what: 'it is paused' });
  expect(await cli.ask('schedule', 'resume', 'nightly')).toMatchObject({ status: 0 });
  await until(async () => (await listed())?.paused === false, { what: 'it goes on' });
  expect(await cli.ask('schedule', 'delete', 'nightly')).toMatchObject({ status: 0 });
  await until(async () => (await listed()) === undefined, { what: 'it is gone' });
  for (const act of ['pause', 'resume', 'trigger', 'delete']) {
    expect(await cli.ask('schedule', act, 'nightly')).toMatchObject({ status: 1, told: { error: { code: 'no_schedule' } } }); // prettier-ignore
  }
}, 120_000);

test('a scheduled rehearsal has the id that people know it by, and is passed over while a replay runs', async () => {
  expect(
    await cli.ask('schedule', 'create', 'rehearse', 'replay', 'order_summary', '--cron', '0 4 * * 0', '--rate', '1'),
  ).toMatchObject({ status: 0 });
  const replayId = `${system.name}replay/order_summary`;
  const runs = () => system.temporal.schedule.getHandle(`${system.name}reprise-schedule/rehearse`).describe();
  try {
    await cli.ask('schedule', 'trigger', 'rehearse');
    await until(async () => (await count('reprise.replays')) === 1, { what: 'it builds' });
    expect((await system.temporal.workflow.getHandle(replayId).describe()).status.name).toBe('RUNNING');
    const { rows } = await system.db.query(`select status from reprise.generations where generation = 2`);
    expect(rows).toEqual([{ status: 'building' }]);

    const second = await system.temporal.workflow.execute('scheduled', {
      workflowId: `${system.name}scheduled/second`,
      taskQueue: `${system.name}reprise-replay`,
      args: [{ workflow: 'replay', workflowId: replayId, input: { projection: 'order_summary' }, versioned: true }],
    });
    expect(second).toMatch(/passed over: .*replay\/order_summary runs already/);
    expect((await runs()).info.numActionsTaken).toBe(1);
  } finally {
    await cli.run('schedule', 'delete', 'rehearse');
    await system.temporal.workflow.getHandle(replayId).terminate('the test is over');
  }
}, 120_000);
