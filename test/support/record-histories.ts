import { execFile } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { findTemporalCli } from '../../embedded/temporal-cli';
import { model } from '../../shop/model';
import { GiveUp, reaction } from '../../model/reaction';
import { addNote, createOrder, orderPaid } from '../../shop/order/contract';
import { backfills } from '../../shop/backfills';
import { reactions } from '../../shop/reactions';
import { begin } from './backfilling';
import { create, pay, ship } from './orders';
import { TestSystem } from './system';
import { until } from './until';

const FOLDER = join(__dirname, '../histories');

/**
 * Records one workflow history per shape, as of this release, into test/histories. Run by hand when a shape is new:
 * `REPRISE_RECORD=v0.1 npx jest test/histories`. Recorded histories are never deleted or replaced: what is there stays.
 */
export async function recordHistories(release: string): Promise<void> {
  mkdirSync(FOLDER, { recursive: true });
  const system = await TestSystem.open(model);
  await system.startEntityWorker();
  await system.startConsumers();
  const client = await system.client();
  const cli = await findTemporalCli();
  const save = async (shape: string, workflowId: string, runId?: string) => {
    const file = join(FOLDER, `${release}-${shape}.json`);
    if (existsSync(file)) return;
    const run = runId ? ['--run-id', runId] : [];
    const show = [
      'workflow',
      'show',
      '--output',
      'json',
      '--address',
      system.address,
      '--workflow-id',
      workflowId,
      ...run,
    ];
    const { stdout } = await promisify(execFile)(cli, show, { maxBuffer: 64 * 1024 * 1024 });
    const history = JSON.parse(stdout, (key, value: unknown) => (key === 'stackTrace' ? '' : value)) as unknown;
    writeFileSync(file, `${JSON.stringify(history)}\n`);
  };
  const closed = (workflowId: string) =>
    until(async () => (await system.temporal.workflow.getHandle(workflowId).describe()).status.name !== 'RUNNING', {
      what: `${workflowId} closes`,
    });
  const idOf = (id: string) => `${system.name}order/${id}`;

  await client.order('single').send(create());
  await save('single', idOf('single'));

  await client.order('batch').send(create());
  await Promise.all(Array.from({ length: 10 }, (_, n) => client.order('batch').send(addNote({ text: `${n}` }))));
  await client.order('batch').post(addNote({ text: 'posted' }));
  await save('batch-and-post', idOf('batch'));

  await client.order('refused').send(ship());
  await closed(idOf('refused'));
  await save('refusal', idOf('refused'));

  for (const command of [create(), pay(), ship()]) await client.order('closed').send(command);
  await closed(idOf('closed'));
  await save('close', idOf('closed'));

  await client.order('retried').send(create());
  await system.db.query('alter table reprise.partitions rename to partitions_away');
  const answer = client.order('retried').send(pay());
  await until(async () => (await pendingFailure(system)) ?? null, { what: 'a failed attempt' });
  await system.db.query('alter table reprise.partitions_away rename to partitions');
  await answer;
  await save('failed-and-retried', idOf('retried'));

  await client.order('long').send(create());
  const { runId } = await system.temporal.workflow.getHandle(idOf('long')).describe();
  const running = async () => (await system.temporal.workflow.getHandle(idOf('long')).describe()).runId;
  for (let n = 0; n % 20 !== 0 || (await running()) === runId; n++)
    await client.order('long').send(addNote({ text: `${n}` }));
  // At first the shape was 'continue-as-new': it left in the task of its last commit.
  await save('leaves-under-load', idOf('long'), runId);

  await save('consumer', `${system.name}projection/order_summary/g1`);
  await playReactions(system);
  await playBackfills(system, save);
  for (const [shape, id] of Object.entries(REACTION_SHAPES)) {
    await closed(`${system.name}reaction/${id}`);
    await save(shape, `${system.name}reaction/${id}`);
  }
  await system.close();
}

const REACTION_SHAPES = {
  reaction: 'capture-payment/order/good/1',
  'reaction-parked': 'send-receipt/order/unmailed/2',
  // At first the shape was 'reaction-line': each event was a signal of its own.
  'reaction-line-asks': 'line/order/good',
  'process-paid': 'unpaid-order/order/good/1',
  'process-cancelled': 'unpaid-order/order/declined/1',
} as const;

/** Card orders that end well, without a receipt, and without money. */
async function playReactions(system: TestSystem<typeof model.entities>): Promise<void> {
  const line = reaction('line', {
    on: [orderPaid],
    idempotency: 'natural',
    order: 'per-entity',
    handle: async () => undefined,
  });
  const ports = {
    payments: {
      capture: ({ customerId }: { customerId: string }) =>
        Promise.resolve(
          customerId === 'declined' ? { outcome: 'declined', reason: 'no cover' } : { outcome: 'captured' },
        ),
    },
    mail: {
      send: ({ to }: { to: string }) =>
        to.startsWith('unmailed') ? Promise.reject(new GiveUp('no such mailbox')) : Promise.resolve(),
    },
    settings: { unpaidOrderMs: 3_000, latePaymentMs: 100 },
  };
  const processesPath = join(__dirname, '../../shop/processes.ts');
  await system.startReactions([...reactions, line] as never, { ports, processesPath });
  const client = await system.client();
  const lines = [{ productId: '11', unitPriceMinor: 1_000, quantity: 1, discountPercent: 0 }];
  for (const customerId of ['good', 'unmailed', 'declined']) {
    await client.order(customerId).send(createOrder({ customerId, currency: 'EUR', terms: 'card', lines }));
  }
}

/** One that is paused and goes on, one that is cancelled, and one that fails. */
async function playBackfills(
  system: TestSystem<typeof model.entities>,
  save: (shape: string, workflowId: string) => Promise<void>,
): Promise<void> {
  await system.startBackfillWorker(backfills);
  const id = `${system.name}backfill/northwind-orders`;
  // Where this checkout lies is nobody's business in a history.
  const file = join(tmpdir(), 'orders.csv');
  copyFileSync(join(__dirname, '../../shop/northwind/data/orders.csv'), file);
  const noted = { name: 'northwind-orders', file, rate: 400, rejectsFile: `${file}.rejects.ndjson` };
  const { handle } = await begin(system, noted);
  await handle.executeUpdate('pause');
  await until(async () => ((await handle.describe()).raw.pendingActivities ?? []).length === 0, {
    what: 'it is paused',
  });
  await handle.executeUpdate('throttle', { args: [null] });
  await handle.executeUpdate('resume');
  await handle.result();
  await save('backfill', id);
  const second = await begin(system, { ...noted, rate: 10 });
  await second.handle.executeUpdate('cancel');
  await second.handle.result();
  await save('backfill-cancelled', id);
  const third = await begin(system, { ...noted, file: '/nowhere' });
  await third.handle.result().catch(() => undefined);
  await save('backfill-failed', id);
}

/** True once the commit has been tried: its failure is in PostgreSQL's own counters. */
async function pendingFailure(system: TestSystem<typeof model.entities>): Promise<true | null> {
  const { rows } = await system.db.query<{ failed: number }>(
    `select xact_rollback as failed from pg_stat_database where datname = current_database()`,
  );
  return (rows[0]?.failed ?? 0) > 1 ? true : null;
}
