import { makeCommit } from '../activities/commit';
import { toMessage } from '../client/door';
import { openPool } from '../db/pool';
import { readReplayPlan } from '../db/replay-plan';
import { model } from '../shop/model';
import { addNote } from '../shop/order/contract';
import { order } from '../shop/order/entity';
import { orderSummary } from '../shop/order/projections';
import { Cli } from '../test/support/cli';
import { create, pay } from '../test/support/orders';
import { TestSystem } from '../test/support/system';
import { until } from '../test/support/until';
import { parseGrace, parseRate, parseShare, parseSlices, splitRate } from './replay/parse';

let system: TestSystem<typeof model.entities>;
let cli: Cli;
let withoutTemporal: Cli;

beforeAll(async () => {
  system = await TestSystem.open(model);
  const env = { DATABASE_URL: system.database.url, REPRISE_WORKFLOW_ID_PREFIX: system.name };
  cli = new Cli({ ...env, TEMPORAL_ADDRESS: system.address });
  withoutTemporal = new Cli({ ...env, TEMPORAL_ADDRESS: '127.0.0.1:1' });
  await commitOrders(10);
});
afterAll(async () => {
  cli.remove();
  withoutTemporal.remove();
  await system.close();
});

/** Each with three events. */
async function commitOrders(orders: number): Promise<void> {
  const db = openPool({ url: system.database.urlOf('commit'), max: 1, applicationName: 'test' });
  const commit = makeCommit({ db, model, partitions: 64, wake: () => undefined });
  for (let nth = 1; nth <= orders; nth++) {
    for (const command of [create(), addNote({ text: 'call first' }), pay()]) {
      await commit([toMessage(order, String(nth), command, {})]);
    }
  }
  await db.end();
}

/** As a replay that was begun leaves the tables. */
async function begun(projection: string): Promise<number> {
  const { rows } = await system.db.query<{ generation: number }>(
    `with made as (select reprise.create_generation('projection/' || $1::text, 1, 'building') as generation)
     insert into reprise.replays (consumer, generation, actor) select 'projection/' || $1::text, generation, 'test' from made
     returning generation`,
    [projection],
  );
  return rows[0]?.generation ?? 0;
}

const rowOf = async (projection: string) => {
  const { rows } = await system.db.query<Record<string, unknown>>(
    `select generation, phase, wanted, rate, adaptive, ended_at is not null as ended from reprise.replays
     where consumer = 'projection/' || $1::text order by generation desc limit 1`,
    [projection],
  );
  return rows[0];
};

test('rates, shares, times and parts are what they say, or are refused', () => {
  expect([parseRate('none'), parseRate('1'), parseRate('2147483647')]).toEqual([null, 1, 2_147_483_647]);
  expect([parseShare('0.1%'), parseShare('0.001'), parseShare('100%'), parseShare('0')]).toEqual([0.001, 0.001, 1, 0]);
  expect([parseGrace('0s'), parseGrace('10m'), parseGrace('30d')]).toEqual([0, 600_000, 2_592_000_000]);
  expect([splitRate(10, 3), splitRate(null, 3), parseSlices('64')]).toEqual([3, null, 64]);
  for (const text of ['0', '1.5', 'fast', '', '1e3', '-1', '2147483648', ' 5', 'None'])
    expect(() => parseRate(text)).toThrow(/no rate/);
  for (const text of ['1.1', '101%', '-1%', 'x', '', '%', '0.1 %'])
    expect(() => parseShare(text)).toThrow(/not a share/);
  for (const text of ['x', '10', '31d', '-1m', '1.5h', '']) expect(() => parseGrace(text)).toThrow(/not a time/);
  for (const text of ['0', '1.5', 'many', '']) expect(() => parseSlices(text)).toThrow(/not a number of parts/);
  expect(() => splitRate(2, 3)).toThrow(/cannot be split among 3/);
});

test.each([
  [['start', 'order_summary', '--rate', '1.5'], /'1\.5' is no rate/],
  [['start', 'order_summary', '--grace', 'x'], /--grace x/],
  [['start', 'order_summary', '--dry-run', '--switch'], /exclude each other/],
  [['start', 'order_summary', '--entity', 'order/1', '--since', '2026-07-01'], /exclude each other/],
  [['start', 'order_summary', '--entity', 'payment/1'], /folded from order: no payment has a row in it/],
  [['start', 'user_balance', '--entity', 'payment/1'], /fed by several entities.*replay user_balance as a whole/],
  [['start', 'order_summry'], /no projection 'order_summry'[^]*order_summary, user_balance, product_search/],
  [['start', 'order_summary', '--slices', '65'], /the log has 64 partitions/],
  [['start', 'order_summary', '--dry-run', '--slices', '65'], /the log has 64 partitions/],
  [['throttle', 'order_summary', 'fast'], /'fast' is no rate/],
  [['pause', 'orders'], /no projection 'orders'/],
])('a wrong call of replay ends with 2: %j', async (args, message) => {
  const { status, stderr } = await cli.run('replay', ...args);
  expect({ status, stderr }).toEqual({ status: 2, stderr: expect.stringMatching(message) as string });
});

test('where no replay runs, that is said, and nothing is made', async () => {
  expect(await withoutTemporal.ask('replay', 'status')).toEqual({ status: 0, told: { replays: [] } });
  expect((await cli.run('replay', 'ls')).stdout).toBe('(none)\n');
  for (const args of [
    ['throttle', 'order_summary', '100'],
    ['watch', 'order_summary'],
    ['verify', 'order_summary'],
    ['cancel', 'order_summary', '--yes'],
  ]) {
    const { status, told } = await cli.ask('replay', ...args);
    expect({ args, status, told }).toMatchObject({ args, status: 1, told: { error: { code: 'no_replay' } } });
  }
  expect(await cli.ask('replay', 'report', 'order_summary')).toMatchObject({ told: { error: { code: 'no_report' } } });
}, 180_000);

test('of some entities it tells how many are folded again, in a copy; one without events is refused, by a start too', async () => {
  const start = (...args: string[]) => cli.ask('replay', 'start', 'order_summary', ...args);
  expect(await start('--dry-run', '--entity', 'order/1', '--entity', 'order/2')).toMatchObject({
    status: 0,
    told: { plans: [{ chosen: { entities: 2, unknown: [], refused: null }, refused: [] }] },
  });
  const { stdout } = await cli.run('replay', 'start', 'order_summary', '--dry-run', '--since', '2000-01-01');
  expect(stdout).toMatch(/again +10 entities, in a copy of what is live/);
  const why = 'nothing to fold: no event of order/nope';
  expect(await start('--dry-run', '--entity', 'order/nope')).toMatchObject({ told: { plans: [{ refused: [why] }] } });
  expect(await start('--entity', 'order/nope')).toMatchObject({
    status: 1,
    told: { error: { code: 'replay_refused', message: `order_summary: ${why}` } },
  });
}, 180_000);

test('a dry run tells how much, how long and against what, and starts nothing', async () => {
  const { rows } = await system.db.query<{ id: string }>(`select event_id as id from reprise.events limit 1`);
  await system.db.query(
    `insert into reprise.skips (consumer, event_id, reason, actor, at) values ('projection/order_summary', $1, 'x', 'x', now())`,
    [rows[0]?.id],
  );
  const dryRun = (...args: string[]) =>
    cli.ask('replay', 'start', 'order_summary', 'user_balance', '--dry-run', ...args);
  expect(await dryRun()).toMatchObject({
    status: 0,
    told: {
      dry_run: true,
      plans: [
        {
          projection: 'order_summary',
          log: { events: 30, to_fold: 30, estimated: false },
          live: { generation: 1, version: 1, rows: 0, rows_estimated: false },
          columns: { added: [], removed: [], changed: [], reshape: false },
          ...{ seconds: null, measured: null, parked_live: 0, skips: 1, refused: [] },
          warnings: ["no worker of replays is up: 'reprise worker replay'"],
        },
        { projection: 'user_balance', log: { events: 30, to_fold: 0 } },
      ],
    },
  });
  expect(await dryRun('--rate', '20')).toMatchObject({ told: { plans: [{ rate: 10, seconds: 3 }, { rate: 10 }] } });
  await system.db.query(
    `alter table read.order_summary__g1 add column note text, drop column units cascade, add column units text`,
  );
  const { stdout } = await cli.run('replay', 'start', 'order_summary', '--dry-run');
  expect(stdout).toMatch(/30 of 30 events to fold, [\d.]+ kB\n/);
  expect(stdout).toMatch(/removed: note; of another type: units\n/);
  expect(stdout).toMatch(/needs --reshape/);
  expect(await rowOf('order_summary')).toBeUndefined();
}, 180_000);

test('a long log is sampled, by a login that only reads', async () => {
  const db = openPool({ url: system.database.urlOf('read'), max: 1, applicationName: 'test' });
  const { log } = await readReplayPlan(db, orderSummary, { countedMax: 29, sampled: 29 });
  await db.end();
  // Its one page is in the sample or not; of what is in it, all is folded.
  expect(log).toMatchObject({ events: 30, estimated: true });
  expect([0, 30]).toContain(log.to_fold);
});

test('a second start is refused with the running one, and one that nobody began is cancelled', async () => {
  const start = (...args: string[]) => cli.ask('replay', 'start', 'order_summary', ...args);
  const first = await start();
  const [running] = (first.told as { started: { workflowId: string; runId: string }[] }).started;
  expect(running).toMatchObject({ workflowId: `${system.name}replay/order_summary` });
  expect(await start('--switch')).toMatchObject({
    status: 1,
    told: { error: { code: 'replay_running', message: expect.stringContaining(running?.runId ?? '?') as string } },
  });
  expect(await start('--dry-run')).toMatchObject({
    told: { plans: [{ refused: [expect.stringContaining(running?.runId ?? '?') as string] }] },
  });
  const watching = cli.start('replay', 'watch', 'order_summary');
  await until(() => watching.told().includes('waits for a worker of replays'), { what: 'it says what it waits for' });
  expect(await cli.ask('replay', 'cancel', 'order_summary')).toMatchObject({
    status: 2,
    told: { error: { code: 'not_confirmed' } },
  });
  expect(await cli.ask('replay', 'cancel', 'order_summary', '--yes')).toMatchObject({ told: { ended: true } });
  expect(await watching.ended).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('cancelled before it began (replay_failed)') as string,
  });
}, 180_000);

test('pause, resume, throttle and cancel hold in the tables while Temporal is down', async () => {
  const run = (...args: string[]) => withoutTemporal.ask('replay', ...args);
  const generation = await begun('user_balance');
  for (const wanted of ['paused', 'paused again']) {
    expect({ wanted, ...(await run('pause', 'user_balance')) }).toMatchObject({ status: 0, told: { wanted: 'pause' } });
    expect(await rowOf('user_balance')).toMatchObject({ generation, wanted: 'pause', rate: null, adaptive: true });
  }
  expect(await run('resume', 'user_balance')).toMatchObject({ told: { wanted: 'run' } });
  expect(await run('throttle', 'user_balance', '5000', '--no-adaptive')).toMatchObject({ told: { rate: 5_000 } });
  expect(await rowOf('user_balance')).toMatchObject({ wanted: 'run', rate: 5_000, adaptive: false });
  await run('throttle', 'user_balance', 'none');
  expect(await rowOf('user_balance')).toMatchObject({ rate: null, adaptive: false });
  await run('throttle', 'user_balance', '7', '--adaptive');
  expect(await rowOf('user_balance')).toMatchObject({ rate: 7, adaptive: true });

  await system.db.query(`update reprise.replays set moved_at = now() - interval '1 hour' where ended_at is null`);
  const status = await withoutTemporal.run('replay', 'status');
  expect(status.stdout).toMatch(/user_balance +\d+ +filling +run/);
  expect(status.stdout).toMatch(/has not moved for 3,6\d\d s: is a worker of replays up/);

  expect(await run('cancel', 'user_balance', '--yes')).toMatchObject({ status: 0, told: { ended: false } });
  expect(await rowOf('user_balance')).toMatchObject({ wanted: 'cancel', ended: false });
  expect(await run('resume', 'user_balance')).toMatchObject({ status: 1, told: { error: { code: 'replay_refused' } } });

  // Temporal is back, and knows of no workflow that would do it.
  expect(await cli.ask('replay', 'cancel', 'user_balance', '--yes')).toMatchObject({ told: { ended: true } });
  expect(await rowOf('user_balance')).toMatchObject({ phase: 'cancelled', ended: true });
  const { rows } = await system.db.query('select from pg_tables where tablename = $1', [
    `user_balance__g${generation}`,
  ]);
  expect(rows).toEqual([]);
}, 180_000);

test('watch tells a line, detaches by Ctrl-C, and ends with the replay', async () => {
  const generation = await begun('product_search');
  const move = (set: string) =>
    system.db.query(
      `update reprise.replays set moved_at = clock_timestamp(), ${set} where generation = $1::integer
                     and consumer = 'projection/product_search'`,
      [generation],
    );
  await move(`per_second = 1234, rate = 2000, bounded_by = 'commits are slow'`);
  const left = cli.start('replay', 'watch', 'product_search');
  await until(() => left.told().includes('\n'), { what: 'a line' });
  left.child.kill('SIGINT');
  const { status, stdout, stderr } = await left.ended;
  expect({ status, stdout }).toEqual({
    status: 0,
    stdout: expect.stringMatching(/reprise replay watch product_search/) as string,
  });
  expect(stderr).toMatch(/product_search: 0 of 30 events \(0 %\), /);
  expect(stderr).not.toContain('\x1b');

  await move(`error = E'no such\\x1b[2J column'`);
  const watching = withoutTemporal.start('replay', 'watch', 'product_search');
  await until(() => watching.told().includes('error: no such [2J column'), { what: 'a line without Temporal' });
  await move(`phase = 'dropped', ended_at = clock_timestamp()`);
  expect(await watching.ended).toMatchObject({
    status: 0,
    stdout: `product_search, generation ${generation}: built, verified and removed\n`,
  });
}, 180_000);
