import { repairEntity } from '../activities/project/repair';
import { audit } from '../activities/replay/audit';
import { sampleEntities } from '../activities/replay/sample';
import { checkAudits } from '../cli/doctor/audits';
import { readAudits, readDrifts } from '../db/audits';
import { readFigures } from '../db/figures';
import { openPool } from '../db/pool';
import { model as shop } from '../shop/model';
import { payOrder } from '../shop/order/contract';
import { capturePayment } from '../shop/payment/contract';
import { FillingSystem } from './support/filling';
import { create } from './support/orders';

const ORDERS = 30;

let stores: FillingSystem;
let readDb: ReturnType<typeof openPool>;
let nth = 0;

const send = (sent: readonly (readonly [string, string, { name: string; data: unknown }])[]) =>
  stores.commit(
    sent.map(([entityType, entityId, { name, data }]) => ({
      ...{ entityType, entityId, name, data },
      ...{ commandId: `c${++nth}`, version: 1 },
    })),
  );
const ids = Array.from({ length: ORDERS }, (_, n) => `o-${n}`);
const capture = (id: string, nth: number) =>
  ['payment', `p-${id}`, capturePayment({ orderId: id, userId: `U${nth % 3}`, amountMinor: 100, currency: 'EUR' })] as const; // prettier-ignore

beforeAll(async () => {
  stores = await FillingSystem.open(shop);
  readDb = openPool({ url: stores.database.urlOf('read'), max: 3, applicationName: 'test' });
  await send(ids.map((id) => ['order', id, create()]));
  await send(ids.map((id, nth) => capture(id, nth)));
  await send(ids.slice(0, 20).map((id) => ['order', id, payOrder({ amountMinor: 16_800 })]));
  await stores.project('order_summary');
  await stores.project('user_balance');
});
afterAll(async () => {
  await readDb.end();
  await stores.close();
});

let runs = 0;
/** By the logins that a worker of replays has. */
const run = (projection: string, entities = 100, run = `run-${++runs}`) =>
  audit({ ...stores.ports(), readDb }, { projection, entities, perSecond: null, run });

test('where nothing is wrong nothing is found, of whole and of small samples, of own and shared rows', async () => {
  expect(await run('order_summary')).toEqual({ entities: ORDERS, rows: ORDERS, states: ORDERS, different: 0, notCompared: 0 }); // prettier-ignore
  expect(await run('order_summary', 5)).toMatchObject({ entities: 5, rows: 5, states: 5, different: 0 });
  expect(await run('user_balance')).toMatchObject({ entities: ORDERS, rows: 3, states: ORDERS, different: 0 });
  expect(await readDrifts(readDb, null)).toEqual([]);
  expect(await readAudits(readDb)).toMatchObject([
    { projection: 'user_balance', compared: ORDERS + 3, different: 0, ended: expect.any(String) as string },
    { projection: 'order_summary', entities: 5 },
    { projection: 'order_summary', entities: ORDERS },
  ]);
});

test('a sample is of the types asked, random, and as large as asked where there are as many', async () => {
  const one = await sampleEntities(readDb, ['order'], 10);
  expect(new Set(one.map(({ entityId }) => entityId)).size).toBe(10);
  expect(one.every(({ entityType }) => entityType === 'order')).toBe(true);
  const nearFirst = await sampleEntities(readDb, ['order', 'payment'], 1, () => 0);
  const nearLast = await sampleEntities(readDb, ['order', 'payment'], 1, () => 0.999_999);
  expect(nearFirst).not.toEqual(nearLast);
  expect(await sampleEntities(readDb, ['order'], 1_000)).toHaveLength(ORDERS);
  expect(await sampleEntities(readDb, ['product'], 10)).toEqual([]);
});

test('a row made wrong by hand is found, told in the figures and by doctor, and mended by repair', async () => {
  await stores.db.query(`update read.order_summary__g1 set status = 'shipped', units = 9 where order_id = 'o-3'`);
  await stores.db.query(`delete from read.order_summary__g1 where order_id = 'o-4'`);
  expect(await run('order_summary')).toMatchObject({ different: 2 });
  const consumer = 'projection/order_summary';
  expect(await readDrifts(readDb, [consumer])).toMatchObject([
    { consumer, subject: 'o-3', generation: 1, detail: 'status, units' },
    { consumer, subject: 'o-4', generation: 1, detail: 'missing' },
  ]);
  expect((await readFigures(readDb)).audits).toContainEqual({ consumer, drifts: 2, ended_at: expect.any(Number) as number }); // prettier-ignore
  expect(await checkAudits(readDb)).toMatchObject([
    { status: 'warn', found: '2 differ from their events: o-3, o-4', next: expect.stringContaining('projection repair order_summary') as string }, // prettier-ignore
  ]);

  const db = openPool({ url: stores.database.urlOf('project'), max: 1, applicationName: 'test' });
  const projection = shop.projection('order_summary');
  if (!projection) throw new Error('the shop has it');
  const repaired = await repairEntity({ db, model: shop, projection, partitions: 64 }, { entityType: 'order', entityId: 'o-3' }); // prettier-ignore
  await db.end();
  expect(repaired).toMatchObject({ outcome: 'changed' });
  expect(await readDrifts(readDb, [consumer])).toMatchObject([{ subject: 'o-4' }]);
  await stores.db.query(`insert into read.order_summary__g1 select 'o-4', customer_id, status, currency, total_minor, freight_minor, lines, units, (select occurred_at from reprise.events where entity_id = 'o-4' and version = 1), (select occurred_at from reprise.events where entity_id = 'o-4' and version = 2), null, null, version from read.order_summary where order_id = 'o-5'`); // prettier-ignore
  expect(await run('order_summary', 1)).toMatchObject({ different: 0 }); // what is known to differ is looked at in any case
  expect(await checkAudits(readDb)).toMatchObject([{ status: 'pass' }]);
});

test('a state made wrong is found, and one of another definition is not compared', async () => {
  await stores.db.query(`update reprise.entities set state = state || '{"carrier": "DHL"}' where entity_id = 'o-1'`);
  await stores.db.query(`update reprise.entities set definition = 99 where entity_id = 'o-2'`);
  expect(await run('order_summary')).toMatchObject({ different: 1, states: ORDERS - 1, notCompared: 1 });
  expect(await readDrifts(readDb, null)).toMatchObject([{ consumer: 'entity/order', subject: 'o-1', detail: 'state' }]);
  expect((await readFigures(readDb)).audits).toContainEqual(
    expect.objectContaining({ consumer: 'entity/order', drifts: 1 }),
  );
  await stores.db.query(`update reprise.entities set state = state - 'carrier' where entity_id = 'o-1'`);
  await stores.db.query(`update reprise.entities set definition = 1 where entity_id = 'o-2'`);
  expect(await run('order_summary', 1)).toMatchObject({ different: 0 });
  expect(await readDrifts(readDb, null)).toEqual([]);
});

test('a shared row made wrong is found, and run twice it is told once', async () => {
  await stores.db.query(`update read.user_balance__g1 set payments = payments + 1 where balance_id = 'EUR/U1'`);
  for (const name of ['same', 'same']) expect(await run('user_balance', 100, name)).toMatchObject({ different: 1 });
  expect(await readDrifts(readDb, null)).toMatchObject([
    { consumer: 'projection/user_balance', subject: 'EUR/U1', detail: 'payments' },
  ]);
  await stores.db.query(`update read.user_balance__g1 set payments = payments - 1 where balance_id = 'EUR/U1'`);
  expect(await run('user_balance', 1)).toMatchObject({ different: 0 });
  expect(await readDrifts(readDb, null)).toEqual([]);
});

test('what is held back or not applied yet makes no difference', async () => {
  await send([['order', 'o-25', payOrder({ amountMinor: 16_800 })]]); // its consumer is away
  await send([capture('late', 1)]);
  expect(await run('order_summary')).toMatchObject({ different: 0 });
  expect(await run('user_balance')).toMatchObject({ different: 0 });
  await stores.db.query(
    `insert into reprise.parked (consumer, generation, entity_type, entity_id, from_offset, event_id, error, fingerprint, attempts)
     select 'projection/' || p, 1, entity_type, entity_id, "offset", event_id, 'no', 'f', 1
     from reprise.events, unnest(array['order_summary', 'user_balance']) p
     where (entity_id = 'o-25' and version = 2) or entity_id = 'p-late'`,
  );
  await stores.project('order_summary');
  await stores.project('user_balance');
  expect(await run('order_summary')).toMatchObject({ different: 0 });
  expect(await run('user_balance')).toMatchObject({ different: 0 });
});

test('beside live traffic nothing is found', async () => {
  let over = false;
  const traffic = async () => {
    for (let round = 0; round < 6; round++) {
      const fresh = Array.from({ length: 10 }, (_, n) => `live-${round}-${n}`);
      await send(fresh.map((id) => ['order', id, create()]));
      await send(fresh.map((id, nth) => capture(id, nth)));
      await Promise.all([stores.project('order_summary'), stores.project('user_balance')]);
      await send(fresh.map((id) => ['order', id, payOrder({ amountMinor: 16_800 })]));
      await stores.project('order_summary');
    }
  };
  let audits = 0;
  const auditing = async () => {
    for (; !over; audits += 2) {
      expect(await run('order_summary', 40)).toMatchObject({ different: 0 });
      expect(await run('user_balance', 40)).toMatchObject({ different: 0 });
    }
  };
  const ends = await Promise.allSettled([traffic().finally(() => (over = true)), auditing()]);
  expect(ends).toEqual(ends.map(() => ({ status: 'fulfilled', value: undefined })));
  expect(audits).toBeGreaterThan(0);
  expect(await readDrifts(readDb, null)).toEqual([]);
});
