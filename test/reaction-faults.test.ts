import { chmodSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { spawn, type ChildProcess } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Connection } from '@temporalio/client';
import { Client } from 'pg';
import { createClient, type RepriseClient } from '../client/client';
import { registerSearchAttributes } from '../client/search-attributes';
import { ensureCheckpoints } from '../db/checkpoints';
import { migrate } from '../db/migrate';
import { openPool } from '../db/pool';
import { resetProjection } from '../db/generations';
import { readProjections } from '../db/projections';
import { readReactionStatus } from '../db/reactions';
import { freePort } from '../embedded/ports';
import { startPostgres, type RunningPostgres } from '../embedded/postgres';
import { startTemporal, type RunningTemporal } from '../embedded/temporal';
import { model } from '../shop/model';
import { reactions } from '../shop/reactions';
import { createOrder } from '../shop/order/contract';
import { userBalance } from '../shop/payment/projections';
import type { JournalEntry } from '../shop/outside/journal';
import { startOutside, type Outside } from './support/outside';
import { until } from './support/until';

const ROOT = resolve(__dirname, '..');
const ORDERS = 500;
const IN_FLIGHT = 24;
const ROLES = ['entity', 'consumers', 'reactions'] as const;

let folder: string;
let postgres: RunningPostgres;
let temporal: RunningTemporal;
let provider: Outside;
let mail: Outside;
const workers = new Map<string, ChildProcess>();
let client: RepriseClient<typeof model.entities>;
let stopping = false;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'reprise-faults-'));
  chmodSync(folder, 0o755);
  const file = (path: string) => join(ROOT, path);
  const reprise = {
    model: file('shop/model.ts'),
    reactions: file('shop/reactions.ts'),
    processes: file('shop/processes.ts'),
    ports: file('shop/ports.ts'),
  };
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ reprise }));
  const env = { PROVIDER_TIMEOUT_AFTER: '0.1', PROVIDER_500: '0.05', PROVIDER_429: '0.05' };
  [postgres, temporal, provider, mail] = await Promise.all([
    startPostgres({ dir: join(folder, 'postgres'), port: await freePort(54_400) }),
    startTemporal({ dir: join(folder, 'temporal'), port: await freePort(17_400) }),
    startOutside('payment-provider', folder, env),
    startOutside('mail-sink', folder),
  ]);
  await migrate(postgres.url, { model, owned: false });
  // As `reprise migrate` does: they begin here, however long their worker takes to come up.
  await withPool(async (db) => {
    for (const { name, from } of reactions) await ensureCheckpoints(db, `reaction/${name}`, from);
  });
  const connection = await Connection.connect({ address: temporal.address });
  await registerSearchAttributes(connection, temporal.namespace);
  await connection.close();
  for (const role of ROLES) startWorker(role);
  client = await createClient({
    model,
    databaseUrl: postgres.url,
    temporal: { connection: { address: temporal.address }, namespace: temporal.namespace },
  });
}, 120_000);

afterAll(async () => {
  stopping = true;
  await client.close();
  for (const worker of workers.values()) worker.kill('SIGKILL');
  await Promise.all([provider, mail].map(({ child }) => child.kill()));
  await temporal.stop();
  await postgres.stop();
  rmSync(folder, { recursive: true, force: true });
}, 60_000);

/** As an orchestrator does: whatever ends is started again. */
function startWorker(role: string): void {
  const child = spawn(process.execPath, [join(ROOT, 'cli/bin.js'), 'worker', role], {
    cwd: folder,
    env: {
      ...process.env,
      DATABASE_URL: postgres.url,
      TEMPORAL_ADDRESS: temporal.address,
      TEMPORAL_CONFIG_FILE: '',
      PAYMENT_PROVIDER_URL: provider.address,
      SMTP_URL: mail.address,
      UNPAID_ORDER_MS: String(60 * 60_000),
      REPRISE_METRICS_PORT: '0',
    },
    stdio: ['ignore', 'ignore', openSync(join(folder, `${role}.log`), 'a'), 'ipc'], // they end with this process
  });
  workers.set(role, child);
  child.once('exit', () => {
    if (!stopping) setTimeout(() => startWorker(role), 500);
  });
}

const FAULTS: Record<string, () => Promise<void>> = {
  reactions: async () => void workers.get('reactions')?.kill('SIGKILL'),
  temporal: async () => {
    process.kill(temporal.pid, 'SIGKILL');
    await temporal.stop();
    const port = Number(temporal.address.split(':')[1]);
    temporal = await startTemporal({ dir: join(folder, 'temporal'), port });
  },
  postgres: async () => {
    process.kill(postgres.pid, 'SIGKILL');
    await postgres.stop();
    postgres = await startPostgres({ dir: join(folder, 'postgres'), port: postgres.port });
  },
};

async function query<Row extends object>(text: string): Promise<Row[]> {
  const db = new Client({ connectionString: postgres.url });
  await db.connect();
  try {
    return (await db.query<Row>(text)).rows;
  } finally {
    await db.end();
  }
}
const withPool = async <T>(work: (db: ReturnType<typeof openPool>) => Promise<T>): Promise<T> => {
  const db = openPool({ url: postgres.url, max: 1, applicationName: 'test' });
  try {
    return await work(db);
  } finally {
    await db.end();
  }
};

/** Sent until it is answered, under one id: whoever creates an order tries again as well. */
async function create(nth: number): Promise<void> {
  const lines = [{ productId: '11', unitPriceMinor: 1_000 + nth, quantity: 1, discountPercent: 0 }];
  const command = createOrder({ customerId: `C-${nth % 40}`, currency: 'EUR', terms: 'card', lines });
  for (;;) {
    const answer = await client
      .order(`o-${nth}`)
      .send(command, { commandId: `create-${nth}`, deadline: 30_000 })
      .catch(() => null);
    if (answer?.outcome === 'accepted') return;
    if (answer && answer.outcome !== 'unknown') throw new Error(JSON.stringify(answer));
  }
}

const settled = (name: string) => async () => {
  const rows = await withPool(readReactionStatus).catch(() => []);
  const row = rows.find(({ reaction }) => reaction === name);
  // Nobody lets anything go on by hand: a fault uses up no handler's tries.
  return row?.done === ORDERS && row.lag_events === 0 && row.open === 0 && row.parked === 0;
};

const keysOf = (journal: readonly JournalEntry[]) => {
  const keys = new Map<string, JournalEntry[]>();
  for (const entry of journal) keys.set(entry.key, [...(keys.get(entry.key) ?? []), entry]);
  return keys;
};

test('invariant 12: 500 orders while worker, Temporal and PostgreSQL are killed: one execution per key, and the amounts add up', async () => {
  const creating = Array.from({ length: IN_FLIGHT }, async (_, slot) => {
    for (let nth = slot; nth < ORDERS; nth += IN_FLIGHT) await create(nth);
  });
  let faults = 0;
  const left: string[] = [];
  const done = Promise.all(creating).then(() => true);
  const captured = () => provider.journal().filter(({ outcome }) => outcome === 'executed').length;
  // At random: which one, and after how many captures.
  const names = ['reactions', 'postgres', 'temporal', 'reactions', 'temporal', 'postgres'];
  const inRandomOrder = names.map((name) => ({ name, at: Math.random() })).sort((a, b) => a.at - b.at);
  for (const [nth, { name }] of inRandomOrder.entries()) {
    const mark = 60 * nth + Math.ceil(60 * Math.random());
    await until(() => captured() >= mark, { what: `${mark} are captured`, withinMs: 180_000 });
    await FAULTS[name]?.();
    faults += 1;
    left.push(name);
  }
  await done;
  for (const name of ['capture-payment', 'send-receipt', 'unpaid-order']) {
    await until(settled(name), { what: `${name} is at rest`, withinMs: 180_000 }).catch(async (error: Error) => {
      const open = await query(
        `select * from reprise.reactions where status <> 'done' and reaction = '${name}' limit 5`,
      );
      throw new Error(`${error.message}: ${JSON.stringify([await withPool(readReactionStatus), open])}`);
    });
  }
  await until(async () => (await withPool(readProjections)).every(({ lag_events }) => lag_events === 0), {
    what: 'read models have caught up',
  });

  expect(faults).toBe(left.length);
  const payments = keysOf(provider.journal());
  expect(payments.size).toBe(ORDERS);
  const amounts = provider.journal() as unknown as { outcome: string; amountMinor: number }[];
  for (const calls of [...payments.values(), ...keysOf(mail.journal()).values()]) {
    expect(calls.filter(({ outcome }) => outcome === 'executed')).toHaveLength(1);
    expect(new Set(calls.map(({ bodyHash }) => bodyHash)).size).toBe(1);
  }
  expect(keysOf(mail.journal()).size).toBe(ORDERS);
  // The faults left their marks: some asked more than once.
  expect(provider.journal().length).toBeGreaterThan(ORDERS * 1.05);
  const taken = amounts.filter(({ outcome }) => outcome === 'executed').reduce((sum, one) => sum + one.amountMinor, 0);
  const [balance] = await query<{ sum: string }>('select sum(balance_minor)::text as sum from read.user_balance');
  expect(Number(balance?.sum)).toBe(taken);
  expect(await query(`select status, count(*)::integer as n from read.order_summary group by status`)).toEqual([
    { status: 'paid', n: ORDERS },
  ]);
}, 900_000);

test('invariant 13: rebuilding a read model from position 1 while reactions are live starts none', async () => {
  const before = [provider.journal().length, mail.journal().length];
  await resetProjection(postgres.url, userBalance);
  await until(
    async () => (await withPool(readProjections)).find(({ name }) => name === 'user_balance')?.lag_events === 0,
    { what: 'it is rebuilt' },
  );
  expect([provider.journal().length, mail.journal().length]).toEqual(before);
  // The same reactions do call, live.
  await create(ORDERS);
  await until(() => provider.journal().length > (before[0] ?? 0), { what: 'a live order is captured' });
}, 120_000);
