import { begin } from '../activities/replay/begin';
import { fill } from '../activities/replay/fill';
import { planSelection } from '../activities/replay/plan-selection';
import { refold } from '../activities/replay/refold';
import { progressLine } from '../activities/replay/look';
import { controlReplay, readReplays } from '../db/replays';
import { model } from '../model/model';
import { projection, sql } from '../model/projection';
import { model as shop } from '../shop/model';
import { cancelOrder, createOrder, payOrder, shipOrder } from '../shop/order/contract';
import type { Build, Selection } from '../workflows/replay';
import { startChild } from './support/child';
import { counterTotals } from './support/counter-totals';
import { counterCommand, counters } from './support/counters';
import { FillingSystem, INPUT } from './support/filling';
import { until } from './support/until';

const WHOLE = { nth: 0, of: 1 };
const ORDERS = 300;
const poison = new Set<string>();
const totals = counterTotals((entityId) => {
  if (poison.has(entityId)) throw new Error(`cannot fold ${entityId}`);
});
/** Only counters that are not hidden have a row. */
const shown = projection('shown', {
  version: 1,
  from: [counters.entities[0]],
  table: sql`counter_id text primary key, total integer not null, twice integer generated always as (total * 2) stored`,
  initial: (counterId: string) => ({ counterId, total: 0 }),
  fold: {
    'counter.added': (row, { data }) => ({ ...row, total: row.total + data.by }),
    'counter.hidden': () => null,
  },
});
const countersModel = model({ entities: counters.entities, projections: [totals, shown] });

let stores: FillingSystem;
let counting: FillingSystem;

beforeAll(async () => {
  stores = await FillingSystem.open(shop);
  counting = await FillingSystem.open(countersModel);
  await trade();
  await stores.project('order_summary');
  await stores.db.query('create table read.proper as select * from read.order_summary__g1');
});
afterAll(async () => {
  await stores.close();
  await counting.close();
});
beforeEach(() => poison.clear());
afterEach(async () => {
  for (const system of [stores, counting]) {
    const { rows } = await system.db.query<Build>(`select consumer, generation from reprise.generations where status = 'building'`); // prettier-ignore
    for (const build of rows) await system.end(build);
  }
  await stores.project('order_summary');
  await stores.db.query(
    'truncate read.order_summary__g1; insert into read.order_summary__g1 select * from read.proper',
  );
});

const lines = [{ productId: '11', unitPriceMinor: 1_000, quantity: 2, discountPercent: 0 }];
let nth = 0;
const send = (orders: readonly string[], { name, data }: { name: string; data: unknown }) =>
  stores.commit(
    orders.map((entityId) => ({ entityType: 'order', entityId, name, data, commandId: `c${++nth}`, version: 1 })),
  );
const create = (customerId = 'VINET') =>
  createOrder({ customerId, currency: 'EUR', terms: 'account', lines, freightMinor: 0 });

async function trade(): Promise<void> {
  const ids = Array.from({ length: ORDERS }, (_, n) => `o-${n}`);
  await send(ids, create());
  await send(ids.filter((_, n) => n % 3 > 0), payOrder({ amountMinor: 2_000 })); // prettier-ignore
  await send(ids.filter((_, n) => n % 3 > 1), shipOrder({ carrier: 'DHL' })); // prettier-ignore
}

const WRONG = ['o-1', 'o-2', 'o-100'];
/** One row wrong in a column, one gone, one wrong in all of them; and an order's row wrong that is chosen by nobody. */
async function damage(): Promise<void> {
  await stores.db.query(`update read.order_summary__g1 set total_minor = 1 where order_id in ('o-1', 'o-77')`);
  await stores.db.query(`delete from read.order_summary__g1 where order_id = 'o-2'`);
  await stores.db.query(
    `update read.order_summary__g1 set customer_id = 'nobody', status = 'cancelled', units = 0 where order_id = 'o-100'`,
  );
}

const beginPart = (selection: Selection, more = {}) => stores.begin('order_summary', { selection, ...more });
const look = async (name = 'order_summary', system = stores) => (await readReplays(system.db, name, 1))[0];

/** Keys whose rows in the build differ from those of a table. */
async function differing({ generation }: Build, table: string): Promise<string[]> {
  const built = `read.order_summary__g${generation}`;
  const { rows } = await stores.db.query<{ order_id: string }>(
    `select order_id from ${built} b full join read.${table} l using (order_id) where b is distinct from l order by 1`,
  );
  return rows.map(({ order_id }) => order_id);
}

test('the named entities are folded again; all other rows are as they are live, to the byte', async () => {
  await damage();
  const build = await beginPart({ entities: WRONG.map((id) => `order/${id}`) });
  expect(await refold(stores.ports(), build)).toBe('refolded');
  expect(await differing(build, 'order_summary__g1')).toEqual([...WRONG].sort());
  expect(await differing(build, 'proper')).toEqual(['o-77']);
  expect(await look()).toMatchObject({ unit: 'entities', done: 3, total: 3, rows_copied: null, parked: 0 });
  expect(progressLine((await look()) as never)).toContain('3 of 3 entities (100 %)');
  expect(await fill(stores.ports(), build, WHOLE)).toBe('filled');
  expect(await differing(build, 'proper')).toEqual(['o-77']);
});

test('since a time, and since a position: whoever has events since is folded from its first', async () => {
  const { rows: times } = await stores.db.query<{ at: string }>(
    `select min(recorded_at) as at from reprise.events where version = 3`,
  );
  const shipped = Array.from({ length: ORDERS }, (_, n) => n).filter((n) => n % 3 > 1);
  await damage(); // o-2 is shipped, and o-77
  const since = times[0]?.at ?? '';
  expect(await planSelection(stores.db, shopProjection(), { since })).toEqual({
    ...{ entities: shipped.length, more: false, unknown: [], refused: null },
  });
  const build = await beginPart({ since });
  await refold(stores.ports(), build);
  expect(await differing(build, 'proper')).toEqual(['o-1', 'o-100']);
  expect(await look()).toMatchObject({ done: shipped.length, total: shipped.length });
  await stores.end(build);

  const { rows: places } = await stores.db.query<{ partition: number; offset: number }>(
    `select partition, "offset" from reprise.events where entity_id = 'o-100' and version = 2`,
  );
  const [place] = places;
  if (!place) throw new Error('o-100 is paid');
  const other = await beginPart({ sinceOffsets: { [place.partition]: place.offset } });
  await refold(stores.ports(), other);
  expect(await differing(other, 'proper')).not.toContain('o-100');
  expect(await differing(other, 'proper')).toContain('o-1');
});

test('chosen by a type that is all it folds, the whole log is read, and all rows are mended', async () => {
  await damage();
  const build = await beginPart({ entityTypes: ['order'] });
  expect(await refold(stores.ports(), build)).toBe('refolded');
  expect(await fill(stores.ports(), build, WHOLE)).toBe('filled');
  expect(await look()).toMatchObject({ unit: 'events' });
  expect(await differing(build, 'proper')).toEqual([]);
});

test('killed again and again, while copying and while folding, it goes on where it was; the result is the same', async () => {
  await damage();
  const build = await beginPart({ since: '2000-01-01' }, { rate: 500 });
  const copied = async () => (await look())?.rows_copied;
  const done = async () => (await look())?.done ?? 0;
  const reached = [
    async () => ((await copied()) ?? 0) > 60,
    async () => (await copied()) === null && (await done()) > 20,
    async () => (await done()) > 120,
  ];
  for (const isReached of reached) {
    const child = startChild('refolding-child.ts', {
      CHILD_DATABASE_URL: stores.database.urlOf('replay'),
      CHILD_GENERATION: String(build.generation),
    });
    await until(isReached, { what: `it came as far as ${isReached.toString()}` });
    await child.kill();
  }
  await controlReplay(stores.db, build, { rate: null });
  expect(await refold(stores.ports(), build)).toBe('refolded');
  expect(await differing(build, 'proper')).toEqual([]);
  expect(await look()).toMatchObject({ done: ORDERS, total: ORDERS });
  expect(await refold(stores.ports(), build)).toBe('refolded'); // nothing is left
  expect(await look()).toMatchObject({ done: ORDERS });
});

test('paused it stands, resumed it goes on, cancelled it ends; a zombie writes nothing more', async () => {
  const build = await beginPart({ since: '2000-01-01' }, { rate: 200 });
  const zombie = refold(stores.ports(), build);
  zombie.catch(() => undefined);
  await until(async () => ((await look())?.rows_copied ?? 0) > 0, { what: 'it copies' });
  const running = refold(stores.ports(), build);
  await expect(zombie).rejects.toThrow(/newer owner/);
  await controlReplay(stores.db, build, { wanted: 'pause' });
  await until(async () => (await look())?.per_second === 0, { what: 'it stands' });
  const stood = (await look())?.rows_copied ?? 0;
  await controlReplay(stores.db, build, { wanted: 'run' });
  await until(async () => ((await look())?.rows_copied ?? Infinity) > stood, { what: 'it goes on' });
  await controlReplay(stores.db, build, { wanted: 'cancel' });
  expect(await running).toBe('cancelled');
});

test('a row that its events remove is removed, and generated columns are made again', async () => {
  await counting.commit([
    ...['there', 'gone', 'other'].map((id) => counterCommand(id, { by: 3 })),
    counterCommand('gone', {}, 'hide'),
  ]);
  await counting.project('shown');
  await counting.db.query(`update read.shown__g1 set total = 9; insert into read.shown__g1 (counter_id, total) values ('gone', 1)`); // prettier-ignore
  const build = await counting.begin('shown', { selection: { entities: ['counter/gone', 'counter/there'] } });
  await refold(counting.ports(), build);
  const { rows } = await counting.db.query(`select * from read.shown__g${build.generation} order by 1`);
  expect(rows).toEqual([
    { counter_id: 'other', total: 9, twice: 18 },
    { counter_id: 'there', total: 3, twice: 6 },
  ]);
});

test('what cannot be folded parks its entity and nobody else; whom the live side holds back is tried again', async () => {
  const adds = (id: string, by: number[]) => by.map((one) => counterCommand(id, { by: one }));
  await counting.commit([...adds('fine', [1, 2]), ...adds('bad', [1, 2]), ...adds('held', [4, 5])]);
  await counting.commit(adds('too-big', [5, 40_000, 1]));
  poison.add('held');
  await counting.project('counter_totals');
  poison.clear();
  poison.add('bad');
  const names = ['fine', 'bad', 'too-big'].map((id) => `counter/${id}`);
  const build = await counting.begin('counter_totals', { selection: { entities: names } });
  await refold(counting.ports(), build);
  const { rows: parked } = await counting.db.query(
    `select entity_id, error from reprise.parked where generation = $1::integer order by 1`,
    [build.generation],
  );
  expect(parked).toEqual([
    { entity_id: 'bad', error: 'cannot fold bad' },
    { entity_id: 'too-big', error: expect.stringContaining('out of range') as unknown },
  ]);
  const { rows } = await counting.db.query(
    `select counter_id, total from read.counter_totals__g${build.generation}
     where counter_id in ('fine', 'bad', 'held', 'too-big') order by 1`,
  );
  expect(rows).toEqual([
    { counter_id: 'fine', total: 3 },
    { counter_id: 'held', total: 9 },
    { counter_id: 'too-big', total: 5 },
  ]);
});

test('an event that a person skipped is passed over', async () => {
  await counting.commit([counterCommand('skipping', { by: 1 }), counterCommand('skipping', { by: 100 })]);
  await counting.project('counter_totals');
  await counting.db.query(
    `insert into reprise.skips (consumer, event_id, reason, actor)
     select 'projection/counter_totals', event_id, 'wrong', 'test' from reprise.events
     where entity_id = 'skipping' and version = 2`,
  );
  const build = await counting.begin('counter_totals', { selection: { entities: ['counter/skipping'] } });
  await refold(counting.ports(), build);
  const { rows } = await counting.db.query(`select total from read.counter_totals__g${build.generation} where counter_id = 'skipping'`); // prettier-ignore
  expect(rows).toEqual([{ total: 1 }]);
});

test('a long history is folded in stretches', async () => {
  for (let round = 0; round < 10; round++) {
    await counting.commit(Array.from({ length: 1_000 }, () => counterCommand('long', { by: 1 })));
  }
  await counting.project('counter_totals');
  const build = await counting.begin('counter_totals', { selection: { entities: ['counter/long'] } });
  await refold(counting.ports(), build);
  const { rows } = await counting.db.query(`select total, events from read.counter_totals__g${build.generation} where counter_id = 'long'`); // prettier-ignore
  expect(rows).toEqual([{ total: 10_000, events: 10_000 }]);
});

describe('refused before anything is made, with the reason', () => {
  const newer = { ...shopProjection(), version: 2 };
  test.each<[string, () => Promise<unknown>, RegExp]>([
    ['an entity without events', () => beginPart({ entities: ['order/o-1', 'order/nope'] }), /no event of order\/nope/],
    ['nothing since', () => beginPart({ since: '2999-01-01' }), /nothing to do/],
    ['another type', () => beginPart({ entities: ['payment/1'] }), /no payment has a row in it/],
    ['a time that is none', () => beginPart({ since: 'yesterday' }), /is no time/],
    [
      'rows fed by several',
      () => stores.begin('user_balance', { selection: { entities: ['payment/p-1'] } }),
      /fed by several entities.*replay user_balance as a whole/,
    ],
    [
      'a changed fold',
      () =>
        begin(stores.ports(undefined, { ...shop, projection: () => newer }), {
          ...INPUT,
          projection: 'order_summary',
          declaredVersion: 2,
          selection: { entities: ['order/o-1'] },
        }),
      /version 2 here and version 1 live: a changed fold needs the whole log/,
    ],
  ])('%s', async (_what, act, why) => {
    const count = async () => (await stores.db.query('select from reprise.generations')).rowCount;
    const before = await count();
    await expect(act()).rejects.toThrow(why);
    expect(await count()).toBe(before);
  });

  test('a build that was begun with another choice', async () => {
    const build = await beginPart({ entities: ['order/o-1'] });
    expect(await beginPart({ entities: ['order/o-1'] })).toEqual(build); // the one that a first try made
    await expect(beginPart({ entities: ['order/o-2'] })).rejects.toThrow(/begun with another choice/);
    await expect(stores.begin('order_summary')).rejects.toThrow(/begun with another choice/);
  });

  test('a dry run says the same', async () => {
    expect(await planSelection(stores.db, shopProjection(), { entities: ['order/o-1', 'order/nope'] })).toEqual({
      ...{ entities: 1, more: false, unknown: ['order/nope'] },
      refused: 'nothing to fold: no event of order/nope',
    });
    expect(await planSelection(stores.db, newer, { since: '2000-01-01' })).toMatchObject({
      refused: expect.stringContaining('a changed fold needs the whole log') as unknown,
    });
  });
});

// The last one: it leaves orders behind that the others do not expect.
test('what moves while rows are copied, and after, is right as well: new, changed, and filled up to the head', async () => {
  await damage();
  const build = await beginPart({ entities: ['order/o-1'] }, { rate: 300 });
  const running = refold(stores.ports(), build);
  await until(async () => ((await look())?.rows_copied ?? 0) > 24, { what: 'some are copied' });
  await controlReplay(stores.db, build, { wanted: 'pause' });
  await until(async () => (await look())?.per_second === 0, { what: 'it stands' });
  expect((await look())?.rows_copied).toBeLessThan(ORDERS);
  // o-0 is copied by now, o-99 is not; a new one sorts before all.
  await send(['a-1', 'z-1'], create('LATE'));
  await send(['o-0', 'o-99'], cancelOrder({ reason: 'late' }));
  await stores.project('order_summary');
  await controlReplay(stores.db, build, { wanted: 'run' });
  expect(await running).toBe('refolded');
  await send(['a-1', 'z-1'], payOrder({ amountMinor: 2_000 }));
  await stores.project('order_summary');
  await fill(stores.ports(), build, WHOLE);
  expect(await differing(build, 'order_summary__g1')).toEqual(['o-1']);
  const { rows } = await stores.db.query<{ total_minor: number }>(
    `select total_minor from read.order_summary__g${build.generation} where order_id = 'o-1'`,
  );
  expect(rows[0]?.total_minor).toBe(2_000);
});

function shopProjection() {
  const found = shop.projection('order_summary');
  if (!found) throw new Error('the shop has order_summary');
  return found;
}
