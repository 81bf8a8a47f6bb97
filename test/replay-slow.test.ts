import fc from 'fast-check';
import { readTaken } from '../activities/project/read-sources';
import { foldSlowly, takeEvent, textOf, textsOf, type RowText } from '../activities/project/refold';
import { fill } from '../activities/replay/fill';
import { describeTable } from '../db/read-model-table';
import type { ProjectionRow } from '../model/projection';
import { model } from '../model/model';
import { model as shop } from '../shop/model';
import { addNote, cancelOrder, payOrder, shipOrder } from '../shop/order/contract';
import { capturePayment, refundPayment } from '../shop/payment/contract';
import { counterTotals } from './support/counter-totals';
import { counterCommand, counters } from './support/counters';
import { FillingSystem } from './support/filling';
import { create } from './support/orders';

// Each fills a whole generation: seconds. The log grows from run to run, and all of it is compared.
const RUNS = 6;

let stores: FillingSystem;
let counting: FillingSystem;

beforeAll(async () => {
  stores = await FillingSystem.open(shop);
  counting = await FillingSystem.open(
    model({ entities: counters.entities, projections: [counterTotals(() => undefined)] }),
  );
});
afterAll(async () => {
  await stores.close();
  await counting.close();
});

/** The oracle: every event of the log by itself, each row read back before its next event. */
async function foldAllSlowly(system: FillingSystem, name: string): Promise<ReadonlyMap<string, RowText>> {
  const projection = system.model.projection(name);
  if (!projection) throw new Error(`no projection ${name}`);
  const { db } = system;
  const fold = { model: system.model, projection, table: await describeTable(db, `${name}__g1`) };
  const rows = new Map<string, ProjectionRow | null>();
  const { rows: heads } = await db.query<{ partition: number; before: number }>(
    'select partition, head + 1 as before from reprise.partitions where head > 0 order by partition',
  );
  for (const head of heads) {
    for await (const stored of readTaken(db, { ...projection, consumer: `projection/${name}` }, head)) {
      const event = takeEvent(fold, stored);
      if (!event) continue;
      const key = projection.key(event);
      rows.set(key, await foldSlowly(db, fold, { key, row: rows.get(key) ?? null, event }));
    }
  }
  const texts = new Map<string, RowText>();
  for (const [key, row] of rows) {
    const text = await textOf(db, fold.table, row);
    if (text) texts.set(key, text);
  }
  return texts;
}

/** What a replay fills, with a limit (small steps) and without. */
async function expectFilled(system: FillingSystem, name: string, rate: number | null): Promise<void> {
  await system.project(name); // what is built never passes what is live
  const build = await system.begin(name, { rate });
  expect(await fill(system.ports(), build, { nth: 0, of: 1 })).toBe('filled');
  const slow = await foldAllSlowly(system, name);
  const table = await describeTable(system.db, `${name}__g${build.generation}`);
  const { rows } = await system.db.query<{ key: string }>(`select ${table.keyColumn}::text as key from ${table.name}`);
  const keys = rows.map(({ key }) => key);
  const filled = await textsOf(system.db, table, keys);
  expect(keys.sort()).toEqual([...slow.keys()].sort());
  for (const key of keys) expect(filled.get(key)).toEqual(slow.get(key));
  await system.end(build);
}

const few = <T>(one: fc.Arbitrary<T>) => fc.array(one, { minLength: 1, maxLength: 40 });
const rates = fc.constantFrom(null, 2_000);

const addition = fc.record({
  id: fc.constantFrom('a', 'b', 'c'),
  by: fc.integer({ min: -50, max: 50 }),
  hide: fc.boolean(),
});

test('what a replay fills of counters is what folding one event at a time makes', async () => {
  await fc.assert(
    fc.asyncProperty(few(addition), rates, async (additions, rate) => {
      const commands = additions.map(({ id, by, hide }) =>
        hide ? counterCommand(id, {}, 'hide') : counterCommand(id, { by }),
      );
      await counting.commit(commands);
      await expectFilled(counting, 'counter_totals', rate);
    }),
    { numRuns: RUNS, endOnFailure: true },
  );
});

const order = fc.constantFrom('1', '2', '3', '4');
const steps = fc.oneof(
  fc.tuple(fc.constant('order'), order, fc.constantFrom(create(), payOrder({ amountMinor: 16_800 }))),
  fc.tuple(fc.constant('order'), order, fc.constantFrom(addNote({ text: 'ünïcode\t\\\n' }), shipOrder({ carrier: 'DHL' }), cancelOrder({ reason: 'late' }))), // prettier-ignore
  fc.tuple(fc.constant('payment'), order, fc.constantFrom('U1', 'U2').map((userId) => capturePayment({ orderId: '1', userId, amountMinor: 500, currency: 'EUR' }))), // prettier-ignore
  fc.tuple(fc.constant('payment'), order, fc.integer({ min: 1, max: 400 }).map((amountMinor) => refundPayment({ amountMinor }))), // prettier-ignore
);

test('what a replay fills of orders and of balances is what folding one event at a time makes', async () => {
  let nth = 0;
  await fc.assert(
    fc.asyncProperty(few(steps), rates, async (sent, rate) => {
      nth += 1; // entities of their own in each run, so that refusals leave enough that is accepted
      await stores.commit(
        sent.map(([entityType, id, { name, data }], at) => ({
          ...{ entityType, entityId: `${nth}-${id}`, name, data },
          ...{ commandId: `${nth}-${at}`, version: 1 },
        })),
      );
      await expectFilled(stores, 'order_summary', rate);
      await expectFilled(stores, 'user_balance', rate);
    }),
    { numRuns: RUNS, endOnFailure: true },
  );
  const { rows } = await stores.db.query<{ count: number }>('select count(*) from reprise.events');
  expect(rows[0]?.count).toBeGreaterThan(RUNS);
});
