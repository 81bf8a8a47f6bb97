import { fill } from '../activities/replay/fill';
import { controlReplay, readReplays } from '../db/replays';
import { model } from '../model/model';
import { model as shop } from '../shop/model';
import { createOrder, payOrder, shipOrder } from '../shop/order/contract';
import { capturePayment, refundPayment } from '../shop/payment/contract';
import { startChild } from './support/child';
import { counterTotals } from './support/counter-totals';
import { counterCommand, counters } from './support/counters';
import { FillingSystem } from './support/filling';
import { until } from './support/until';

const WHOLE = { nth: 0, of: 1 };
const poison = new Set<string>();
const totals = counterTotals((entityId) => {
  if (poison.has(entityId)) throw new Error(`cannot fold ${entityId}`);
});
const countersModel = model({ entities: counters.entities, projections: [totals] });

let stores: FillingSystem;
let counting: FillingSystem;

beforeAll(async () => {
  stores = await FillingSystem.open(shop);
  counting = await FillingSystem.open(countersModel);
});
afterAll(async () => {
  await stores.close();
  await counting.close();
});
beforeEach(() => poison.clear());

const lines = [{ productId: '11', unitPriceMinor: 1_000, quantity: 2, discountPercent: 0 }];
let nth = 0;
const send = (system: FillingSystem, sent: readonly [string, string, { name: string; data: unknown }][]) =>
  system.commit(
    sent.map(([entityType, entityId, { name, data }]) => ({
      ...{ entityType, entityId, name, data },
      ...{ commandId: `c${++nth}`, version: 1 },
    })),
  );

/** Orders and payments, each one's events far apart. */
async function tradeInRounds(count: number): Promise<void> {
  const ids = Array.from({ length: count }, (_, n) => `o-${n}`);
  const customerId = (n: number) => `customer-${n % 7}`;
  await send(stores, ids.map((id, n) => ['order', id, createOrder({ customerId: customerId(n), currency: 'EUR', terms: 'account', lines, freightMinor: 0 })])); // prettier-ignore
  await send(stores, ids.map((id, n) => ['payment', `p-${id}`, capturePayment({ orderId: id, userId: customerId(n), amountMinor: 2_000, currency: 'EUR' })])); // prettier-ignore
  await send(
    stores,
    ids.filter((_, n) => n % 3 > 0).map((id) => ['order', id, payOrder({ amountMinor: 2_000 })]),
  );
  await send(stores, ids.filter((_, n) => n % 5 === 0).map((id) => ['payment', `p-${id}`, refundPayment({ amountMinor: 500 })])); // prettier-ignore
  await send(
    stores,
    ids.filter((_, n) => n % 3 > 1).map((id) => ['order', id, shipOrder({ carrier: 'DHL' })]),
  );
}

test.each(['order_summary', 'user_balance'])('what is filled is what was folded live, row by row: %s', async (name) => {
  if (nth === 0) await tradeInRounds(400);
  await stores.project(name);
  for (const slices of [1, 3]) {
    const build = await stores.begin(name, { slices });
    const ends = await Promise.all(
      Array.from({ length: slices }, (_, slice) => fill(stores.ports(), build, { nth: slice, of: slices })),
    );
    expect(ends).toEqual(ends.map(() => 'filled'));
    expect(await stores.differences(name, build)).toEqual([]);
    const [status] = await readReplays(stores.db, name);
    expect(status).toMatchObject({ done: status?.total, parked: 0, phase: 'filling' });
    await stores.end(build);
  }
});

test('a limit changes nothing but the time: many small steps, rows met again and again', async () => {
  const build = await stores.begin('order_summary', { rate: 20_000 });
  expect(await fill(stores.ports(), build, WHOLE)).toBe('filled');
  expect(await stores.differences('order_summary', build)).toEqual([]);
  expect(await fill(stores.ports(), build, WHOLE)).toBe('filled'); // nothing is left
  expect(await stores.differences('order_summary', build)).toEqual([]);
  await stores.end(build);
});

test('an event that cannot be folded, and one that PostgreSQL refuses, park their entities and nobody else', async () => {
  const adds = (id: string, by: number[]) => by.map((one) => counterCommand(id, { by: one }));
  await counting.commit(Array.from({ length: 60 }, (_, n) => adds(`fine-${n}`, [1, 2])).flat());
  await counting.commit([...adds('bad', [1, 2, 3]), ...adds('too-big', [5, 40_000, 1])]);
  poison.add('bad');
  await counting.project('counter_totals');
  const build = await counting.begin('counter_totals');
  expect(await fill(counting.ports(), build, WHOLE)).toBe('filled');
  expect(await counting.differences('counter_totals', build)).toEqual([]);
  const { rows } = await counting.db.query<{ entity_id: string; from_offset: number; error: string }>(
    `select entity_id, generation, error from reprise.parked where generation in (1, $1::integer) order by entity_id, generation`,
    [build.generation],
  );
  expect(rows).toMatchObject([
    { entity_id: 'bad', generation: 1 },
    { entity_id: 'bad', generation: build.generation, error: 'cannot fold bad' },
    { entity_id: 'too-big', generation: 1 },
    { entity_id: 'too-big', generation: build.generation, error: expect.stringContaining('out of range') as unknown },
  ]);
  await counting.end(build);
});

test('an event that a person skipped is passed over here as well', async () => {
  await counting.commit([counterCommand('skipping', { by: 1 }), counterCommand('skipping', { by: 100 })]);
  await counting.db.query(
    `insert into reprise.skips (consumer, event_id, reason, actor)
     select 'projection/counter_totals', event_id, 'wrong', 'test' from reprise.events
     where entity_id = 'skipping' and version = 2`,
  );
  await counting.project('counter_totals');
  const build = await counting.begin('counter_totals');
  await fill(counting.ports(), build, WHOLE);
  const { rows } = await counting.db.query(`select total from read.counter_totals__g${build.generation} where counter_id = 'skipping'`); // prettier-ignore
  expect(rows).toEqual([{ total: 1 }]);
  await counting.end(build);
});

test('an event that only newer code knows stops it there, and newer code goes on', async () => {
  await counting.commit([counterCommand('newer', { by: 1 }), counterCommand('newer', { by: 2 })]);
  await counting.project('counter_totals'); // where newer code runs already
  const untrigger = `alter table reprise.events disable trigger all`;
  await counting.db.query(`begin; ${untrigger}; update reprise.events set schema_version = 2 where entity_id = 'newer' and version = 2; alter table reprise.events enable trigger all; commit`); // prettier-ignore
  const build = await counting.begin('counter_totals');
  await expect(fill(counting.ports(), build, WHOLE)).rejects.toThrow(/stands still.*does not know/);
  const stands = () =>
    counting.db.query(`select status from reprise.checkpoints where generation = $1 and status <> 'running'`, [build.generation]); // prettier-ignore
  expect((await stands()).rows).toEqual([{ status: 'behind-code' }]);
  await counting.db.query(`begin; ${untrigger}; update reprise.events set schema_version = 1 where entity_id = 'newer'; alter table reprise.events enable trigger all; commit`); // prettier-ignore
  expect(await fill(counting.ports(), build, WHOLE)).toBe('filled');
  expect((await stands()).rows).toEqual([]);
  await counting.end(build);
});

test('invariant 15: paused it stands still within 2 s, resumed it goes on, cancelled it ends', async () => {
  const build = await stores.begin('order_summary', { rate: 400 });
  const running = fill(stores.ports(), build, WHOLE);
  const look = async () => (await readReplays(stores.db, 'order_summary'))[0];
  const done = async () => (await look())?.done ?? 0;
  await until(async () => (await done()) > 0, { what: 'it began' });
  await controlReplay(stores.db, build, { wanted: 'pause' });
  await until(async () => (await look())?.per_second === 0, { what: 'it stands', withinMs: 2_000 });
  const stood = await done();
  await controlReplay(stores.db, build, { wanted: 'run' });
  await until(async () => (await done()) > stood, { what: 'it goes on' });
  await controlReplay(stores.db, build, { wanted: 'cancel' });
  expect(await running).toBe('cancelled');
  await stores.end(build);
});

test('invariant 15: killed again and again it goes on at its checkpoints, and the result is the same', async () => {
  await stores.project('order_summary');
  const build = await stores.begin('order_summary', { rate: 1_500 });
  const done = async () => (await readReplays(stores.db, 'order_summary'))[0]?.done ?? 0;
  for (const share of [0.1, 0.4, 0.7]) {
    const child = startChild('filling-child.ts', {
      CHILD_DATABASE_URL: stores.database.urlOf('replay'),
      CHILD_GENERATION: String(build.generation),
    });
    const { rows } = await stores.db.query<{ total: number }>(
      'select sum(head)::bigint as total from reprise.partitions',
    );
    await until(async () => (await done()) > (rows[0]?.total ?? 0) * share, { what: `${share} is filled` });
    await child.kill();
  }
  await controlReplay(stores.db, build, { rate: null });
  expect(await fill(stores.ports(), build, WHOLE)).toBe('filled');
  expect(await stores.differences('order_summary', build)).toEqual([]);
  await stores.end(build);
});

test('a zombie writes nothing more', async () => {
  const build = await stores.begin('order_summary', { rate: 300 });
  const zombie = fill(stores.ports(), build, WHOLE);
  zombie.catch(() => undefined);
  const done = async () => (await readReplays(stores.db, 'order_summary'))[0]?.done ?? 0;
  await until(async () => (await done()) > 0, { what: 'it began' });
  await controlReplay(stores.db, build, { rate: null });
  expect(await fill(stores.ports(), build, WHOLE)).toBe('filled');
  await expect(zombie).rejects.toThrow(/newer owner|were moved/);
  expect(await stores.differences('order_summary', build)).toEqual([]);
  await stores.end(build);
});

test('the login of replays reads the log and writes what it builds, and nothing else', async () => {
  const build = await stores.begin('order_summary');
  const denied = [
    'select * from reprise.entities',
    'select * from reprise.commands',
    'select * from reprise.outbox',
    'select * from read.order_summary__g1',
    `insert into read.order_summary__g1 (order_id) values ('x')`,
    `insert into reprise.events select * from reprise.events`,
    `create table read.mine (n integer)`,
  ];
  for (const text of denied) await expect(stores.replayDb.query(text)).rejects.toThrow(/permission denied/);
  const moved = await stores.replayDb.query(
    `update reprise.checkpoints set next_offset = 1 where consumer = 'projection/order_summary' and generation = 1`,
  );
  expect(moved.rowCount).toBe(0);
  expect(await stores.begin('order_summary')).toEqual(build); // the one that a first try made
  await stores.end(build);
});
