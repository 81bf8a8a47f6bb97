import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { model } from '../shop/model';
import { TestSystem } from './support/system';
import { until } from './support/until';

const ROOT = resolve(__dirname, '..');
const BIN = join(ROOT, 'cli/bin.js');

let system: TestSystem<typeof model.entities>;
let project: string;
let worker: ChildProcess;

beforeAll(async () => {
  project = mkdtempSync(join(tmpdir(), 'reprise-backfill-cli-'));
  const reprise = { model: join(ROOT, 'shop/model.ts'), backfills: join(ROOT, 'shop/backfills.ts') };
  writeFileSync(join(project, 'package.json'), JSON.stringify({ reprise }));
  copyFileSync(join(ROOT, 'shop/northwind/data/orders.csv'), join(project, 'orders.csv'));
  copyFileSync(join(ROOT, 'shop/payment/data/payments.ndjson'), join(project, 'payments.ndjson'));
  system = await TestSystem.open(model);
  worker = spawn(process.execPath, [BIN, 'worker', 'backfill'], {
    cwd: project,
    env: env(),
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  worker.stderr?.on('data', (chunk: Buffer) => (said += chunk.toString()));
  await until(() => said.includes('worker backfill is up') || worker.exitCode !== null, { what: 'the worker is up' });
  expect(said).toContain('worker backfill is up');
}, 60_000);

afterAll(async () => {
  worker.kill('SIGTERM');
  await until(() => worker.exitCode !== null, { what: 'the worker ends' });
  expect(worker.exitCode).toBe(0);
  await system.close();
  rmSync(project, { recursive: true, force: true });
});

/** The database and the namespace are those of this file alone. */
const env = () => ({
  ...process.env,
  DATABASE_URL: system.database.url,
  TEMPORAL_ADDRESS: system.address,
  REPRISE_WORKFLOW_ID_PREFIX: system.name,
  REPRISE_METRICS_PORT: '0',
});

function reprise(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [BIN, 'backfill', ...args], {
    cwd: project,
    encoding: 'utf8',
    env: env(),
  });
  return { status, stdout, stderr };
}
const json = (...args: string[]) => JSON.parse(reprise(...args, '--json').stdout) as Record<string, unknown>;

test('the Northwind book comes in as commands, once; the old journal of payments as events', async () => {
  const rehearsed = json('start', 'northwind-orders', '--file', 'orders.csv', '--dry-run');
  expect(rehearsed).toMatchObject({ backfill: { status: 'done', dry_run: true, rows_read: 830, rejected: 0 } });
  expect(await countEvents()).toBe(0);

  const brought = reprise('start', 'northwind-orders', '--file', 'orders.csv');
  expect(brought).toMatchObject({ status: 0, stdout: expect.stringContaining('northwind-orders: done') as string });
  const { backfill } = json('status', 'northwind-orders') as { backfill: Record<string, number> };
  expect(backfill).toMatchObject({ status: 'done', rows_read: 830, rejected: 0, events: 2_448 });
  expect(await countEvents()).toBe(2_448);
  expect(json('start', 'northwind-orders', '--file', 'orders.csv')).toMatchObject({
    backfill: { status: 'done', accepted: 0, repeated: 2_448, events: 0 },
  });

  expect(json('start', 'payment-history', '--file', 'payments.ndjson')).toMatchObject({
    backfill: { status: 'done', rows_read: 16, accepted: 16, rejected: 0 },
  });
  const { rows } = await system.db.query(
    `select type, occurred_at from reprise.events where entity_id = 'old-703' order by version`,
  );
  expect(rows).toEqual([
    { type: 'payment.captured', occurred_at: expect.stringMatching(/T09:00:00Z$/) },
    { type: 'payment.refunded', occurred_at: expect.stringMatching(/T15:30:00Z$/) },
  ]);
  expect(reprise('ls').stdout).toMatch(/northwind-orders +done[^]*payment-history +done/);
  const watched = reprise('watch', 'payment-history');
  expect(watched).toMatchObject({ status: 0, stdout: expect.stringContaining('16 read') as string });
}, 240_000);

test('Ctrl-C detaches, and the run goes on: it is paused, throttled, resumed and cancelled from elsewhere', async () => {
  const lines = readFileSync(join(project, 'orders.csv'), 'utf8').replaceAll(/^(?=\d)/gm, '9');
  writeFileSync(join(project, 'slow.csv'), lines);
  const watching = spawn(
    process.execPath,
    [BIN, 'backfill', 'start', 'northwind-orders', '--file', 'slow.csv', '--rate', '20'],
    {
      cwd: project,
      env: env(),
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  let out = '';
  let err = '';
  watching.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
  watching.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
  await until(() => err.includes('limit 20 commands/s'), { what: 'a line of progress' });
  expect(err).toMatch(/northwind-orders {2}\d+ % {2}\d+ rows {2}\d+ rows\/s/);
  const second = reprise('start', 'northwind-orders', '--file', 'slow.csv');
  expect(second).toMatchObject({
    status: 1,
    stderr: expect.stringMatching(/running already, as run [0-9a-f-]{36}/) as string,
  });
  watching.kill('SIGINT');
  await until(() => watching.exitCode !== null, { what: 'it detaches' });
  expect(watching.exitCode).toBe(0);
  expect(out).toMatch(/goes on\. 'reprise backfill watch northwind-orders' shows it again/);

  expect(reprise('pause', 'northwind-orders').status).toBe(0);
  expect(json('status', 'northwind-orders')).toMatchObject({ backfill: { status: 'running', wanted: 'pause' } });
  expect(json('throttle', 'northwind-orders', '50')).toMatchObject({ backfill: { rate: 50 } });
  expect(reprise('resume', 'northwind-orders').status).toBe(0);
  expect(reprise('cancel', 'northwind-orders').status).toBe(0);
  const ended = reprise('watch', 'northwind-orders');
  expect(ended).toMatchObject({ status: 1, stdout: expect.stringContaining('northwind-orders: cancelled') as string });
  expect(reprise('pause', 'northwind-orders')).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('does not run') as string,
  });
}, 240_000);

test.each([
  [
    ['start', 'northwind-ordes', '--file', 'orders.csv'],
    2,
    /no backfill 'northwind-ordes'.*\n.*northwind-orders, payment-history/,
  ],
  [['start', 'northwind-orders'], 2, /reads csv, from a file/],
  [['start', 'northwind-orders', '--file', 'orders.csv', '--rate', '0'], 2, /'0' is no rate/],
  [['throttle', 'northwind-orders', 'fast'], 2, /'fast' is no rate/],
  [
    ['start', 'northwind-orders', '--file', 'none.csv'],
    1,
    /none\.csv cannot be read by the backfill worker on .*ENOENT.*must be where the worker runs/,
  ],
  [['start', 'northwind-orders', '--file', '.'], 1, /is no file/],
  [
    ['start', 'northwind-orders', '--file', 'orders.csv', '--rejects', '/nowhere/r'],
    1,
    /cannot be written by the backfill worker.*--rejects/,
  ],
  [['start', 'northwind-orders', '--file', 'package.json'], 1, /the columns' names, line 1: .*quote/],
])('a call that cannot be done says why: %j', (args, status, message) => {
  const told = reprise(...args);
  expect({ ...told, stdout: '' }).toEqual({ status, stdout: '', stderr: expect.stringMatching(message) as string });
  expect(told.stderr).not.toMatch(/\n\s+at .*:\d+/);
});

async function countEvents(): Promise<number> {
  const { rows } = await system.db.query<{ n: number }>('select count(*) as n from reprise.events');
  return rows[0]?.n ?? -1;
}
