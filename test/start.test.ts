import { spawn, execFileSync, type ChildProcess } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Client as TemporalClient, Connection } from '@temporalio/client';
import { Client } from 'pg';
import { isAlive } from '../embedded/process';
import { readEndpoints, type Endpoints } from '../embedded/endpoints';
import { readBook, readProducts } from '../shop/northwind/book';
import { totalMinor } from '../shop/order/money';
import { scrape } from './support/scrape';
import { until } from './support/until';

const ROOT = resolve(__dirname, '..');
const BIN = join(ROOT, 'cli/bin.js');
let project: string;

beforeAll(() => {
  project = mkdtempSync(join(tmpdir(), 'reprise-start-'));
  chmodSync(project, 0o755);
  const file = (path: string) => join(ROOT, 'shop', path);
  const reprise = {
    model: file('model.ts'),
    demo: file('northwind/demo.ts'),
    reactions: file('reactions.ts'),
    processes: file('processes.ts'),
    ports: file('ports.ts'),
    outside: { PAYMENT_PROVIDER_URL: file('outside/payment-provider.ts'), SMTP_URL: file('outside/mail-sink.ts') },
  };
  writeFileSync(join(project, 'package.json'), JSON.stringify({ reprise }));
});
afterAll(() => rmSync(project, { recursive: true, force: true }));

interface Started {
  readonly child: ChildProcess;
  readonly endpoints: Endpoints;
  /** What `--json` printed. */
  readonly summary: Record<string, unknown>;
}

async function start(): Promise<Started> {
  const child = spawn(process.execPath, [BIN, 'start', '--json'], {
    cwd: project,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let out = '';
  child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
  await until(() => out.includes('\n') || child.exitCode !== null, { what: 'the book is played', withinMs: 240_000 });
  const endpoints = readEndpoints(join(project, '.reprise'));
  if (!endpoints) throw new Error(`no endpoints; it printed ${out}`);
  return { child, endpoints, summary: JSON.parse(out) as Record<string, unknown> };
}

async function stop({ child }: Started): Promise<void> {
  child.kill('SIGINT');
  await until(() => child.exitCode !== null, { what: 'it stops', withinMs: 60_000 });
  expect(child.exitCode).toBe(0);
}

const cli = (...args: string[]) => execFileSync(process.execPath, [BIN, ...args], { cwd: project, encoding: 'utf8' });

test('start plays the book, a second start resumes and sends nothing, and both stop cleanly', async () => {
  const first = await start();
  expect(first.summary).toMatchObject({
    orders: 830,
    payments: 809,
    pages: 77,
    card_orders: 36,
    commands: 3_370,
    already_played: 0,
    projection_lag_events: 0,
  });
  // Reactions to card orders add their own.
  expect(first.summary['events']).toBeGreaterThanOrEqual(3_370);
  await checkReadModel(first.endpoints);
  await checkBalances(first.endpoints);
  await checkPages(first.endpoints);
  await checkMetrics(first.endpoints, 3_370);
  await checkWorkflows(first.endpoints);
  await checkCommands();
  await checkReactions();
  await stop(first);
  expect(readEndpoints(join(project, '.reprise'))).toBeNull();
  expect(isAlive(first.endpoints.pid)).toBe(false);

  const second = await start();
  expect(second.summary).toMatchObject({ commands: 0, already_played: 3_370 });
  expect(second.endpoints.databaseUrl).toBe(first.endpoints.databaseUrl);
  await checkWorkflows(second.endpoints);
  await stop(second);

  expect(() => cli('reset')).toThrow(/Say --yes/);
  cli('reset', '--yes');
  expect(existsSync(join(project, '.reprise'))).toBe(false);
}, 400_000);

/** The read model agrees with the CSV, order by order. */
async function checkReadModel({ databaseUrl }: Endpoints): Promise<void> {
  const db = new Client({ connectionString: databaseUrl });
  await db.connect();
  const { rows } = await db.query<Record<string, string | number>>(
    `select order_id, customer_id, status, total_minor::integer, freight_minor::integer, lines,
            to_char(created_at at time zone 'UTC', 'YYYY-MM-DD') as created_on,
            to_char(shipped_at at time zone 'UTC', 'YYYY-MM-DD') as shipped_on
     from read.order_summary where order_id not like 'card-%' order by order_id`,
  );
  await db.end();
  expect(rows).toEqual(
    readBook()
      .sort((a, b) => (a.orderId < b.orderId ? -1 : 1))
      .map(({ orderId, customerId, orderedOn, shippedOn, freightMinor, lines }) => ({
        order_id: orderId,
        customer_id: customerId,
        status: shippedOn ? 'shipped' : 'created',
        total_minor: totalMinor(lines),
        freight_minor: freightMinor,
        lines: lines.length,
        created_on: orderedOn,
        shipped_on: shippedOn,
      })),
  );
}

/** What each customer paid agrees with the CSV: the orders that shipped, with their freight. */
async function checkBalances({ databaseUrl }: Endpoints): Promise<void> {
  const db = new Client({ connectionString: databaseUrl });
  await db.connect();
  const { rows } = await db.query<Record<string, string | number>>(
    `select user_id, currency, balance_minor::integer, refunded_minor::integer, payments
     from read.user_balance where user_id not like '%-%'`,
  );
  await db.end();
  const paid = new Map<string, number[]>();
  for (const { customerId, shippedOn, lines, freightMinor } of readBook()) {
    if (shippedOn) paid.set(customerId, [...(paid.get(customerId) ?? []), totalMinor(lines) + freightMinor]);
  }
  const byUser = (a: { user_id?: unknown }, b: { user_id?: unknown }) =>
    String(a.user_id) < String(b.user_id) ? -1 : 1;
  expect(rows.sort(byUser)).toEqual(
    [...paid]
      .map(([user_id, amounts]) => ({
        user_id,
        currency: 'USD',
        balance_minor: amounts.reduce((sum, amount) => sum + amount),
        refunded_minor: 0,
        payments: amounts.length,
      }))
      .sort(byUser),
  );
}

async function checkPages({ databaseUrl }: Endpoints): Promise<void> {
  const db = new Client({ connectionString: databaseUrl });
  await db.connect();
  const { rows } = await db.query<{ product_id: string; title: string }>(
    'select product_id, title from read.product_search',
  );
  await db.end();
  expect(new Map(rows.map(({ product_id, title }) => [product_id, title]))).toEqual(
    new Map(readProducts().map(({ productId, name }) => [productId, name])),
  );
  expect(rows).toHaveLength(77);
}

/** Each worker tells figures, and `endpoints.json` knows where; also of one that was started again. */
async function checkMetrics({ metrics, pid }: Endpoints, commands: number): Promise<void> {
  expect(Object.keys(metrics).sort()).toEqual(['consumers', 'entity', 'reactions', 'replay']);
  for (const address of Object.values(metrics)) {
    expect(address).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/metrics$/);
    expect((await scrape(address)).of('reprise_database_up')).toBe(1);
  }
  const [entity = '', consumers = ''] = [metrics['entity'], metrics['consumers']];
  expect((await scrape(entity)).of('reprise_commands_total{outcome="accepted",code=""}')).toBeGreaterThanOrEqual(
    commands,
  );
  expect(
    (await scrape(consumers)).of('reprise_applied_events_total{consumer="projection/order_summary"}'),
  ).toBeGreaterThanOrEqual(commands);

  process.kill(childOf(pid, 'consumers'), 'SIGKILL');
  const again = () => readEndpoints(join(project, '.reprise'))?.metrics['consumers'] ?? '';
  await until(() => again() !== consumers, { what: 'it was started again' });
  expect((await scrape(again())).of('reprise_database_up')).toBe(1);
}

/** The worker of this role that this process has started. */
function childOf(parent: number, role: string): number {
  const lines = execFileSync('ps', ['-A', '-o', 'pid=,ppid=,args='], { encoding: 'utf8' }).split('\n');
  const line = lines.find((one) => one.trim().split(/\s+/)[1] === String(parent) && one.endsWith(`worker ${role}`));
  if (!line) throw new Error(`no worker ${role} of ${parent} runs`);
  return Number(line.trim().split(/\s+/)[0]);
}

/** Open orders are Running, shipped ones Completed; payments and pages stay open; and there is one run of each. */
async function checkWorkflows({ temporalAddress }: Endpoints): Promise<void> {
  const connection = await Connection.connect({ address: temporalAddress });
  const { workflow } = new TemporalClient({ connection });
  // What the card orders come to is up to the reactions.
  const ofBook = `RepriseEntityId not starts_with 'card-' and RepriseEntityId not starts_with 'pay-'`;
  const count = async (status: string, type = 'order') =>
    (await workflow.count(`RepriseEntityType = '${type}' and ExecutionStatus = '${status}' and ${ofBook}`)).count;
  await until(async () => (await count('Completed')) === 809, { what: '809 completed' });
  expect([await count('Running'), await count('Completed')]).toEqual([21, 809]);
  for (const [type, entities] of Object.entries({ payment: 809, product: 77 })) {
    expect([await count('Running', type), await count('Completed', type)]).toEqual([entities, 0]);
  }
  await connection.close();
}

/** Every card order ends: paid and receipted, or cancelled; and the outside executed each key once. */
async function checkReactions(): Promise<void> {
  const told = <T>(...args: string[]) => JSON.parse(cli(...args, '--json')) as T;
  interface Row {
    readonly reaction: string;
    readonly open: number;
    readonly done: number;
  }
  const row = (name: string) =>
    told<{ reactions: Row[] }>('reaction', 'ls').reactions.find(({ reaction }) => reaction === name);
  await until(() => (row('capture-payment')?.open ?? 99) <= 2, {
    what: 'all but those never answered',
    withinMs: 90_000,
  });
  await until(() => row('send-receipt')?.open === 0, { what: 'receipts are out' });
  const { totals } = told<{ totals: { call: string; executed: number; executed_twice: number }[] }>('effects', 'ls');
  expect(totals.map(({ executed_twice }) => executed_twice)).toEqual(totals.map(() => 0));
  const executed = (name: string) => totals.find(({ call }) => call === name)?.executed ?? 0;
  expect(executed('mail')).toBe(row('send-receipt')?.done);
  expect(executed('mail')).toBeGreaterThan(20);
  expect(executed('capture')).toBeGreaterThanOrEqual(executed('mail'));
  const { runs } = told<{ runs: { status: string }[] }>('reaction', 'show', 'send-receipt');
  expect(new Set(runs.map(({ status }) => status))).toEqual(new Set(['done']));
  told('reaction', 'pause', 'send-receipt');
  expect(row('send-receipt')).toMatchObject({ consumer: 'paused' });
  told('reaction', 'resume', 'send-receipt');
  const events = told<{ events: { eventId: string; type: string }[] }>('entity', 'events', 'order', 'card-1').events;
  const paid = events.find(({ type }) => type === 'order.paid')?.eventId ?? '';
  expect(() => cli('reaction', 'rerun', 'send-receipt', paid, '--reason', 'lost')).toThrow(/Say --yes/);
  expect(told('reaction', 'rerun', 'send-receipt', paid, '--reason', 'lost', '--yes')).toMatchObject({ started: 1 });
  const repeats = () =>
    told<{ totals: { call: string; repeats: number }[] }>('effects', 'ls').totals.find(({ call }) => call === 'mail')
      ?.repeats;
  await until(() => (repeats() ?? 0) > 0, { what: 'the outside recognises the repeat' });
  expect(told('reaction', 'recover', 'send-receipt')).toMatchObject({ started: 0 });
}

function lagOf(names: readonly string[]): number {
  const { projections } = JSON.parse(cli('projection', 'ls', '--json')) as {
    projections: { name: string; lag_events: number }[];
  };
  expect(projections.map(({ name }) => name)).toEqual(names);
  return projections.reduce((sum, { lag_events }) => sum + lag_events, 0);
}

async function checkCommands(): Promise<void> {
  expect(JSON.parse(cli('entity', 'show', 'order', '10248', '--json'))).toMatchObject({
    version: 3,
    state: { status: 'shipped' },
  });
  expect(JSON.parse(cli('entity', 'at', 'order', '10248', '1', '--json'))).toMatchObject({
    state: { status: 'created' },
  });
  expect(
    (JSON.parse(cli('entity', 'events', 'order', '10248', '--json')) as { events: unknown[] }).events,
  ).toHaveLength(3);
  // Reactions to card orders still add events of their own.
  await until(() => lagOf(['order_summary', 'product_search', 'user_balance']) === 0, {
    what: 'projection ls says lag 0',
  });
  const { hits } = JSON.parse(cli('search', 'chai', '--json')) as { hits: unknown[] };
  expect(hits).toMatchObject([{ key: '1', title: 'Chai', highlights: { title: '<mark>Chai</mark>' } }]);
  const found = JSON.parse(cli('search', 'cha', '--limit', '100', '--json')) as { hits: { title: string }[] };
  expect(found.hits.map(({ title }) => title).sort()).toEqual(['Chai', 'Chang', 'Chartreuse verte']);
  expect(JSON.parse(cli('sink', 'ls', '--json'))).toEqual({ sinks: [] });
  expect(JSON.parse(cli('doctor', '--json'))).toMatchObject({ healthy: true });
  expect(() => cli('start')).toThrow(/already running/);
}
