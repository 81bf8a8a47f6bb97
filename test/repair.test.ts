import { repairEntity, repairRow, type RepairPorts } from '../activities/project/repair';
import { openPool } from '../db/pool';
import { model } from '../model/model';
import { model as shop } from '../shop/model';
import { payOrder } from '../shop/order/contract';
import { capturePayment } from '../shop/payment/contract';
import { counterTotals } from './support/counter-totals';
import { counterCommand, counters } from './support/counters';
import { FillingSystem } from './support/filling';
import { create } from './support/orders';

const poison = new Set<string>();
const totals = counterTotals((entityId) => {
  if (poison.has(entityId)) throw new Error(`cannot fold ${entityId}`);
});
const countersModel = model({ entities: counters.entities, projections: [totals] });

let stores: FillingSystem;
let counting: FillingSystem;
const pools: ReturnType<typeof openPool>[] = [];

beforeAll(async () => {
  stores = await FillingSystem.open(shop);
  counting = await FillingSystem.open(countersModel);
});
afterAll(async () => {
  await Promise.all(pools.map((pool) => pool.end()));
  await stores.close();
  await counting.close();
});

/** By the login of projections, as the command has it. */
function portsOf(system: FillingSystem, name: string): RepairPorts {
  const db = openPool({ url: system.database.urlOf('project'), max: 1, applicationName: 'test' });
  pools.push(db);
  const projection = system.model.projection(name);
  if (!projection) throw new Error(`no projection ${name}`);
  return { db, model: system.model, projection, partitions: 64 };
}

let nth = 0;
const send = (sent: readonly [string, string, { name: string; data: unknown }][]) =>
  stores.commit(
    sent.map(([entityType, entityId, { name, data }]) => ({
      ...{ entityType, entityId, name, data },
      ...{ commandId: `c${++nth}`, version: 1 },
    })),
  );
const rowOf = async (system: FillingSystem, text: string) =>
  (await system.db.query<Record<string, unknown>>(text)).rows;
const order = (entityId: string) => ({ entityType: 'order', entityId });
const counter = (entityId: string) => ({ entityType: 'counter', entityId });

test('a row that was made wrong, or is missing, is what its events fold to again; right, it is left alone', async () => {
  await send([['order', 'a', create()], ['order', 'b', create()]]); // prettier-ignore
  await send([['order', 'a', payOrder({ amountMinor: 16_800 })]]);
  await stores.project('order_summary');
  const ports = portsOf(stores, 'order_summary');
  const before = await rowOf(stores, 'select * from read.order_summary order by order_id');
  await stores.db.query(`update read.order_summary__g1 set status = 'shipped', total_minor = 7 where order_id = 'a'`);
  await stores.db.query(`delete from read.order_summary__g1 where order_id = 'b'`);
  await stores.db.query(
    `insert into reprise.drifts (consumer, subject, generation, detail) values ('projection/order_summary', 'a', 1, 'x')`,
  );

  expect(await repairEntity(ports, order('a'))).toEqual({
    projection: 'order_summary',
    generation: 1,
    key: 'a',
    outcome: 'changed',
    columns: [
      { column: 'status', before: 'shipped', after: 'paid' },
      { column: 'total_minor', before: '7', after: '16800' },
    ],
    events: 2,
  });
  expect(await repairEntity(ports, order('b'))).toMatchObject({ outcome: 'made' });
  expect(await rowOf(stores, 'select * from read.order_summary order by order_id')).toEqual(before);
  expect(await rowOf(stores, 'select * from reprise.drifts')).toEqual([]);
  expect(await repairEntity(ports, order('a'))).toMatchObject({ outcome: 'right', columns: [] });
  await stores.db.query(`insert into read.order_summary__g1 select 'ghost', customer_id, status, currency, total_minor, freight_minor, lines, units, created_at, paid_at, shipped_at, cancelled_at, version from read.order_summary where order_id = 'a'`); // prettier-ignore
  expect(await repairEntity(ports, order('ghost'))).toMatchObject({ outcome: 'removed', events: 0 });
  expect(await rowOf(stores, 'select * from read.order_summary order by order_id')).toEqual(before);
});

test('what its consumer has not applied yet is not folded either: it would be applied twice', async () => {
  await counting.commit([counterCommand('behind', { by: 1 })]);
  await counting.project('counter_totals');
  await counting.commit([counterCommand('behind', { by: 10 })]); // and its consumer is away
  await counting.db.query(`update read.counter_totals__g1 set total = 99 where counter_id = 'behind'`);
  const ports = portsOf(counting, 'counter_totals');
  expect(await repairEntity(ports, counter('behind'))).toMatchObject({
    columns: [{ column: 'total', before: '99', after: '1' }],
  });
  await counting.project('counter_totals');
  expect(await rowOf(counting, `select total from read.counter_totals where counter_id = 'behind'`)).toEqual([
    { total: 11 },
  ]);
});

test('beside live events it repairs again and again, fences nobody, and nothing is lost or applied twice', async () => {
  const ports = portsOf(counting, 'counter_totals');
  const traffic = async () => {
    for (let round = 1; round <= 8; round++) {
      await counting.commit(Array.from({ length: 5 }, () => counterCommand('busy', { by: round })));
      await counting.project('counter_totals');
    }
  };
  let over = false;
  const running = traffic().finally(() => (over = true));
  while (!over) {
    await counting.db.query(`update read.counter_totals__g1 set total = 5 where counter_id = 'busy'`);
    await repairEntity(ports, counter('busy'));
  }
  await running;
  await repairEntity(ports, counter('busy'));
  expect(await rowOf(counting, `select total, events from read.counter_totals where counter_id = 'busy'`)).toEqual([
    { total: 180, events: 40 },
  ]);
});

test('a parked entity is refused with what to do instead; others are repaired, and skips are honoured', async () => {
  poison.add('bad');
  await counting.commit([counterCommand('bad'), counterCommand('good'), counterCommand('bad')]);
  await counting.project('counter_totals');
  poison.clear();
  const ports = portsOf(counting, 'counter_totals');
  await expect(repairEntity(ports, counter('bad'))).rejects.toMatchObject({
    code: 'parked',
    message: 'counter/bad is parked: cannot fold bad',
    next: expect.stringContaining('reprise parked redrive projection/counter_totals counter/bad') as string,
  });
  expect(await repairEntity(ports, counter('good'))).toMatchObject({ outcome: 'right' });
  await counting.db.query(
    `with passed as (insert into reprise.skips (consumer, event_id, reason, actor)
                     select consumer, event_id, 'wrong', 'test' from reprise.parked)
     update reprise.parked set redrive = true`,
  );
  await counting.commit([counterCommand('good')]);
  await counting.project('counter_totals');
  await counting.commit([counterCommand('other')]);
  await counting.project('counter_totals');
  expect(await rowOf(counting, 'select * from reprise.parked')).toEqual([]);
  expect(await repairEntity(ports, counter('bad'))).toMatchObject({ outcome: 'right', events: 1 });
});

test('a row that several entities feed is repaired by its key, from all of them', async () => {
  const capture = (id: string, amountMinor: number) =>
    ['payment', id, capturePayment({ orderId: id, userId: 'ALFKI', amountMinor, currency: 'EUR' })] as const;
  await send([['order', 'x', create()]]);
  await send([[...capture('p1', 100)], [...capture('p2', 30)], [...capture('p3', 7)]]);
  await stores.project('user_balance');
  const ports = portsOf(stores, 'user_balance');
  const before = await rowOf(stores, 'select * from read.user_balance');
  await stores.db.query('update read.user_balance__g1 set balance_minor = 1, payments = 0');
  await expect(repairEntity(ports, { entityType: 'payment', entityId: 'p1' })).rejects.toMatchObject({
    code: 'shared_row',
    next: 'Name the row: --row EUR/ALFKI',
  });
  await expect(repairRow(ports, 'EUR/ALFKI', 2)).rejects.toMatchObject({
    code: 'too_many',
    next: expect.stringContaining('reprise replay start user_balance') as string,
  });
  expect(await repairRow(ports, 'EUR/ALFKI')).toMatchObject({
    outcome: 'changed',
    events: 3,
    columns: [
      { column: 'balance_minor', before: '1', after: '137' },
      { column: 'payments', before: '0', after: '3' },
    ],
  });
  expect(await rowOf(stores, 'select * from read.user_balance')).toEqual(before);
  await stores.db.query(
    `insert into reprise.parked (consumer, generation, entity_type, entity_id, from_offset, event_id, error, fingerprint, attempts)
     select 'projection/user_balance', 1, entity_type, entity_id, "offset", event_id, 'no', 'f', 1 from reprise.events where entity_id = 'p3'`,
  );
  await expect(repairRow(ports, 'EUR/ALFKI')).rejects.toMatchObject({ code: 'parked' });
  await expect(repairRow(portsOf(stores, 'order_summary'), 'x')).rejects.toMatchObject({ next: 'Name that: order/x' });
});

test('code of another version than the one that feeds it is refused', async () => {
  const ports = portsOf(stores, 'order_summary');
  const newer = { ...ports, projection: { ...ports.projection, version: 2 } };
  await expect(repairEntity(newer, order('a'))).rejects.toMatchObject({ code: 'other_version' });
});
