import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { makeCommit } from '../activities/commit';
import { makeReactor } from '../activities/react';
import { recoverReactions } from '../activities/react/recover';
import { makeStarter } from '../activities/react/start';
import { tailLog } from '../activities/tail';
import { registerSearchAttributes } from '../client/search-attributes';
import { ensureCheckpoints } from '../db/checkpoints';
import { openPool } from '../db/pool';
import { readReactionStatus } from '../db/reactions';
import { listenForWakes } from '../db/wake';
import { startTemporal } from '../embedded/temporal';
import type { AnyReaction } from '../model/reaction';
import { model } from '../shop/model';
import { createOrder, payOrder } from '../shop/order/contract';
import { cancelUnpaidOrder } from '../shop/order/reactions';
import { SystemOfParts } from '../testing/parts';
import { testDatabase } from './support/system';
import { until } from './support/until';

const reaction = cancelUnpaidOrder as unknown as AnyReaction;
const ports = { settings: { unpaidOrderMs: 1, latePaymentMs: 1 } };
const NAME = 'recover-';

test("Temporal's data is deleted after order.paid was signalled: recovered, the order is not cancelled", async () => {
  const folder = mkdtempSync(join(tmpdir(), 'reprise-recover-'));
  const database = await testDatabase();
  const db = openPool({ url: database.urlOf('react'), max: 4, applicationName: 'test' });
  const commitDb = openPool({ url: database.urlOf('commit'), max: 2, applicationName: 'test' });
  const commit = makeCommit({ db: commitDb, model, partitions: 64, wake: () => undefined });
  const starterOn = (temporal: Client) => makeStarter({ temporal, db, model, reaction, ports, idPrefix: NAME });
  const standsAt = async () =>
    (await readReactionStatus(database.db)).find((row) => row.reaction === reaction.name) ?? {
      lag_events: -1,
      open: -1,
    };

  // The process is started and told of the payment, but no worker has run a step of it yet.
  let server = await startTemporal({ dir: join(folder, 'first') });
  const first = new Client({ connection: await Connection.connect({ address: server.address }) });
  await ensureCheckpoints(db, 'reaction/unpaid-order', 'head');
  const lines = [{ productId: '11', unitPriceMinor: 1_000, quantity: 1, discountPercent: 0 }];
  const send = (commandId: string, { name, data }: { name: string; data: unknown }) =>
    commit([{ entityType: 'order', entityId: 'paid', commandId, name, version: 1, data }]);
  await send('create', createOrder({ customerId: 'VINET', currency: 'EUR', terms: 'card', lines, freightMinor: 0 }));
  await send('pay', payOrder({ amountMinor: 1_000 }));
  const abort = new AbortController();
  const wakes = listenForWakes(database.urlOf('react'));
  const reactor = makeReactor({ db, model, reaction, starter: starterOn(first) });
  const tailing = tailLog(reactor, { db, wakes, heartbeat: () => undefined, signal: abort.signal });
  await until(async () => (await standsAt()).lag_events === 0, { what: 'both events are passed on' });
  abort.abort();
  await tailing;
  const workflowId = `${NAME}reaction/unpaid-order/order/paid/1`;
  const { events } = await first.workflow.getHandle(workflowId).fetchHistory();
  expect(events?.some(({ workflowExecutionSignaledEventAttributes: signal }) => signal)).toBe(true);
  await first.connection.close();

  await server.stop();
  rmSync(join(folder, 'first'), { recursive: true });
  server = await startTemporal({ dir: join(folder, 'second') });
  const connection = await Connection.connect({ address: server.address });
  await registerSearchAttributes(connection, server.namespace);
  const temporal = new Client({ connection });
  const system = new SystemOfParts(model, { database, temporal, address: server.address, name: NAME });
  await system.startEntityWorker();
  await system.startReactions([reaction], { ports, processesPath: join(__dirname, '../shop/processes.ts') });
  expect((await readReactionStatus(database.db)).filter((row) => row.reaction === reaction.name)).toHaveLength(1);
  expect((await standsAt()).open).toBe(1);
  const recover = () =>
    recoverReactions({ db, model, reaction: reaction.name, starter: starterOn(temporal), progress: () => undefined });
  expect(await recover()).toEqual({ open: 1, started: 1 });
  expect(await temporal.workflow.getHandle(workflowId).result()).toBe('paid');
  await until(async () => (await standsAt()).open === 0, { what: 'its end is noted' });
  expect(await recover()).toEqual({ open: 0, started: 0 });
  const { rows } = await database.db.query<{ type: string }>('select type from reprise.events order by version');
  expect(rows.map(({ type }) => type)).toEqual(['order.created', 'order.paid']);

  await wakes.close();
  await Promise.all([db.end(), commitDb.end()]);
  await system.close();
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
}, 120_000);
