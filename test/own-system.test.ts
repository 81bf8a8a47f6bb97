import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { model } from '../shop/model';
import { createOrder } from '../shop/order/contract';
import { startTestServers, startTestSystem, type TestServers } from '../testing';

// An example of a user's own test: of the engine, it uses what `reprise/testing` exports. Servers are started once for a
// run (jest's globalSetup), a system once per test file.
let dir: string;
let servers: TestServers;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'reprise-own-'));
  servers = await startTestServers(dir, model);
}, 120_000);
afterAll(async () => {
  await servers.stop();
  rmSync(dir, { recursive: true, force: true });
}, 60_000);

test("a user's own test has a database, workers and a client of its own, and none of another's facts", async () => {
  const [one, other] = await Promise.all([startTestSystem(servers, model), startTestSystem(servers, model)]);
  const order = createOrder({
    customerId: 'VINET',
    currency: 'EUR',
    terms: 'card',
    lines: [{ productId: '11', unitPriceMinor: 1_400, quantity: 12, discountPercent: 0 }],
  });
  expect(await one.client.order('1').send(order, { waitFor: ['order_summary'] })).toMatchObject({
    outcome: 'accepted',
    version: 1,
    waited: { order_summary: 'applied' },
  });
  expect(await other.client.order('1').state()).toBeNull();

  const reader = new Client({ connectionString: one.databaseUrl });
  await reader.connect();
  const { rows } = await reader.query('select order_id, status from read.order_summary');
  expect(rows).toEqual([{ order_id: '1', status: 'created' }]);
  await reader.end();
  await Promise.all([one.stop(), other.stop()]);
}, 120_000);
