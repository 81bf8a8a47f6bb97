import { catchUp } from '../activities/replay/catch-up';
import { fill } from '../activities/replay/fill';
import { whileActiveStands } from '../activities/replay/hold-active';
import { lackOf, readPlaces } from '../activities/replay/places';
import type { Report } from '../activities/replay/report';
import { beginTogether, withPair } from '../activities/replay/snapshot';
import { switchOver } from '../activities/replay/switch';
import { verify } from '../activities/replay/verify';
import { Fenced } from '../activities/tail/checkpoints';
import { migrate } from '../db/migrate';
import { requestRedrive, skipParked } from '../db/parked';
import { model as defineModel } from '../model/model';
import { projection, sql } from '../model/projection';
import { model } from '../shop/model';
import { order } from '../shop/order/entity';
import { orderSummary } from '../shop/order/projections';
import { payment } from '../shop/payment/entity';
import type { Build } from '../workflows/replay';
import { Rebuilding } from './support/rebuilding';
import { note, shopCommands } from './support/shop-commands';
import { until } from './support/until';

const NOTHING_MAY_DIFFER = { tolerance: { maxDifferent: 0 }, accept: false };
const ORDERS = 400;
let shop: Rebuilding;

beforeAll(async () => {
  shop = await Rebuilding.open(model);
  for (let from = 0; from < ORDERS; from += 100) await shop.send(shopCommands(from, from + 100));
  for (const { name } of model.projections) await catchUpLive(name);
});
afterAll(() => shop.close());
afterEach(async () => {
  await shop.db.query(
    `select reprise.drop_generation(consumer, generation) from reprise.generations where status = 'building'`,
  );
});

async function catchUpLive(name: string, generation = 1): Promise<void> {
  const feeding = await shop.feed(name, generation);
  await until(() => shop.isAtHead(name, generation), { what: `${name} is at head` });
  await feeding.stop();
}

/** Sessions whose query waits for a lock. */
const waiting = async (query: string): Promise<number> =>
  (await shop.db.query(`select from pg_stat_activity where query like $1::text and wait_event_type = 'Lock'`, [query]))
    .rowCount ?? 0;

const reportOf = async ({ consumer, generation }: Build) => {
  const { rows } = await shop.db.query<{ report: Report; phase: string }>(
    'select report, phase from reprise.replays where consumer = $1::text and generation = $2::integer',
    [consumer, generation],
  );
  return { ...(rows[0]?.report as Report), phase: rows[0]?.phase };
};

test.each(['order_summary', 'user_balance', 'product_search'])('%s built again is identical', async (name) => {
  const build = await shop.begin(name);
  const verdict = await verify(shop.ports(), build, NOTHING_MAY_DIFFER);
  expect(verdict).toMatchObject({ passed: true, summary: expect.stringMatching(/^identical: [\d,]+ rows/) });
  const { rows } = await shop.db.query<{ rows: number; differing: number }>(
    `select (select count(*) from read.${name}) as rows, count(*) as differing
     from read.${name}__g1 o full join read.${name}__g${build.generation} n on o = n where o is null or n is null`,
  );
  expect(await reportOf(build)).toMatchObject({
    comparedRows: rows[0]?.rows,
    share: 0,
    phase: 'verified',
    columns: { added: [], removed: [], retyped: [] },
    parts: 1,
  });
  expect(rows[0]).toMatchObject({ differing: 0 });
});

test('every row of the live one that was made wrong by hand is found, and told with what is wrong in it', async () => {
  await shop.db.query(
    `update read.order_summary__g1 set units = units + 1, status = 'cancelled' where order_id = 'o-7'`,
  );
  await shop.db.query(
    `update read.order_summary__g1 set paid_at = paid_at + interval '1 microsecond' where order_id = 'o-8'`,
  );
  await shop.db.query(`delete from read.order_summary__g1 where order_id in ('o-9', 'o-10')`);
  await shop.db.query(`insert into read.order_summary__g1 select 'ghost', customer_id, status, currency, total_minor,
    freight_minor, lines, units, created_at, paid_at, shipped_at, cancelled_at, version from read.order_summary__g1 where order_id = 'o-11'`);
  const build = await shop.begin('order_summary');
  const verdict = await verify(shop.ports(), build, { tolerance: { maxDifferent: 1 }, accept: true });
  expect(verdict).toMatchObject({
    passed: false,
    summary: expect.stringMatching(/5 differ .*1 missing, 2 extra, 2 different/),
  });
  const report = await reportOf(build);
  expect(report).toMatchObject({ missing: 1, extra: 2, different: 2, comparedRows: ORDERS + 1, phase: 'different' });
  expect(report.samples.map(({ key, kind, changed }) => ({ key, kind, changed }))).toEqual([
    { key: 'o-7', kind: 'different', changed: ['units', 'status'].sort() },
    { key: 'o-8', kind: 'different', changed: ['paid_at'] },
    { key: 'o-10', kind: 'extra', changed: [] },
    { key: 'o-9', kind: 'extra', changed: [] },
    { key: 'ghost', kind: 'missing', changed: [] },
  ]);
  expect(report.samples[0]).toMatchObject({ active: { status: 'cancelled', units: 13 }, built: { units: 12 } });
  await shop.db.query(`delete from read.order_summary__g1 where order_id = 'ghost'`);
  await shop.db.query(`delete from read.order_summary__g1 where order_id = any('{o-7,o-8}')`);
  await shop.db.query(
    `insert into read.order_summary__g1 select * from read.order_summary__g${build.generation} where order_id = any('{o-7,o-8,o-9,o-10}')`,
  );
});

test('of many wrong rows all are counted, and some of each kind shown, long values cut', async () => {
  const wrong = 'update read.product_search__g1 set body = $1::text, tags = tags || $2::text';
  await shop.db.query(wrong, ['x'.repeat(100_000), 'wrong']);
  await shop.db.query(`delete from read.product_search__g1 where product_id = 'g-0'`);
  const build = await shop.begin('product_search');
  expect(await verify(shop.ports(), build, NOTHING_MAY_DIFFER)).toMatchObject({ passed: false });
  const report = await reportOf(build);
  expect(report).toMatchObject({ missing: 0, extra: 1, different: ORDERS / 5 - 1 });
  expect(report.samples).toHaveLength(20);
  expect(new Set(report.samples.map(({ kind }) => kind))).toEqual(new Set(['extra', 'different']));
  expect(report.samples[0]?.changed).toEqual(expect.arrayContaining(['body', 'document', 'tags']));
  expect(JSON.stringify(report).length).toBeLessThan(100_000);
  await shop.db.query('truncate read.product_search__g1');
  await shop.db.query(
    `insert into read.product_search__g1 (product_id, title, body, tags, language, published_at, revised_at, version)
     select product_id, title, body, tags, language, published_at, revised_at, version from read.product_search__g${build.generation}`,
  );
});

test('while commands are committed and the live one is fed, the two are compared at one place, time after time', async () => {
  const feeding = await Promise.all(['order_summary', 'user_balance'].map((name) => shop.feed(name)));
  let going = true;
  let sent = 0;
  const traffic = (async () => {
    for (let n = 1_000; going; n += 10, sent += 10)
      await shop.send([...shopCommands(n, n + 10), note('o-1'), note('o-2')]);
  })();
  try {
    for (const name of ['order_summary', 'user_balance']) {
      const build = await shop.begin(name);
      for (let nth = 0; nth < 5; nth++) {
        const before = sent;
        expect(await verify(shop.ports(), build, NOTHING_MAY_DIFFER)).toMatchObject({ passed: true });
        await until(() => sent > before, { what: 'commands go on' });
      }
    }
  } finally {
    going = false;
    await traffic;
    await Promise.all(feeding.map(({ stop }) => stop()));
  }
});

test('what is seen is where both stood under lock, also what the build was given there, and stays so when the live one goes on', async () => {
  await catchUpLive('order_summary');
  const build = await shop.begin('order_summary');
  const active = { ...build, generation: 1 };
  const turn = await shop.turn(build);
  const ports = shop.ports();
  // Nothing is applied beforehand: all of it while the live one stands.
  const target = () => readPlaces(ports.db, build);
  await withPair(ports.readDb, async (pair) => {
    const at = await whileActiveStands(turn, { target }, async (_locks, places) => {
      await beginTogether(pair, 10_000);
      return places;
    });
    await shop.send([note('o-1'), note('o-2'), note('o-3')]);
    await catchUpLive('order_summary');
    for (const seen of [await readPlaces(pair.active, active), await readPlaces(pair.built, build)]) {
      expect(seen).toEqual(at);
    }
    const rows = 'select * from read.order_summary__g$ order by order_id';
    const [live, built] = await Promise.all([
      pair.active.query(rows.replace('$', '1')),
      pair.built.query(rows.replace('$', String(build.generation))),
    ]);
    expect(built.rows).toEqual(live.rows);
    expect(lackOf(at, await readPlaces(ports.db, active))).not.toEqual([]);
  });
});

test('it is brought to exactly a place, and no further', async () => {
  const build = await shop.begin('order_summary');
  const turn = await shop.turn(build);
  const live = await readPlaces(shop.db, { ...build, generation: 1 });
  const half = new Map([...live].map(([partition, next]) => [partition, Math.ceil(next / 2)]));
  expect(await catchUp(turn, half)).toBe(true);
  expect(await readPlaces(shop.db, build)).toEqual(half);
  expect(await catchUp(turn, half)).toBe(true);
  expect(await readPlaces(shop.db, build)).toEqual(half);
  expect(await catchUp(turn, live)).toBe(true);
  expect(await readPlaces(shop.db, build)).toEqual(live);
});

test('of two that verify at once the first is fenced, and the answer is right', async () => {
  const build = await shop.begin('order_summary');
  const turn = await shop.turn(build); // a zombie's
  expect(await verify(shop.ports(), build, NOTHING_MAY_DIFFER)).toMatchObject({ passed: true });
  await shop.send([note('o-4')]);
  await catchUpLive('order_summary');
  const to = await readPlaces(shop.db, { ...build, generation: 1 });
  await expect(catchUp(turn, to)).rejects.toThrow(Fenced);
});

test('a live one that stands still behind what was built is not compared, and the reason is said', async () => {
  await catchUpLive('order_summary');
  const build = await shop.begin('order_summary');
  await shop.send([note('o-5')]);
  const turn = await shop.turn(build);
  const { rows } = await shop.db.query<{ partition: number; next: number }>(
    'select partition, head + 1 as next from reprise.partitions',
  );
  await catchUp(turn, new Map(rows.map(({ partition, next }) => [partition, next])));
  const verdict = await verify(shop.ports(), build, NOTHING_MAY_DIFFER);
  expect(verdict).toMatchObject({ passed: false, summary: expect.stringMatching(/^not compared: .*start its worker/) });
  await catchUpLive('order_summary');
  expect(await verify(shop.ports(), build, NOTHING_MAY_DIFFER)).toMatchObject({ passed: true });
});

test('a live consumer that holds its places for long is waited for; then the whole is tried again', async () => {
  const build = await shop.begin('order_summary');
  const holder = await shop.db.connect();
  await holder.query('begin');
  await holder.query(`select from reprise.checkpoints where consumer = $1::text and generation = 1 for update`, [
    build.consumer,
  ]);
  const verifying = verify(shop.ports(), build, NOTHING_MAY_DIFFER);
  await until(async () => (await waiting('%lock_active%')) > 0, { what: 'it waits' });
  await until(async () => (await waiting('%lock_active%')) === 0, { what: 'it gives up for now' });
  await holder.query('rollback');
  holder.release();
  expect(await verifying).toMatchObject({ passed: true });
});

test('what takes too long for one snapshot is compared by ranges of keys, each at a place of its own', async () => {
  await catchUpLive('order_summary');
  await shop.db.query(`update read.order_summary__g1 set units = 99 where order_id in ('o-0', 'o-55', 'o-99')`);
  const build = await shop.begin('order_summary');
  // Before its first and behind its last row, and more than one range holds.
  const extra = `insert into read.order_summary__g${build.generation}
    select name || n, '', 'created', 'EUR', 0, 0, 0, 0, null, null, null, null, 1
    from unnest('{a,z}'::text[]) name, generate_series(1, 300) n`;
  await shop.db.query(extra);
  const holder = await shop.db.connect();
  await holder.query('begin');
  await holder.query('lock table read.order_summary__g1 in access exclusive mode');
  const verifying = verify(shop.ports(), build, NOTHING_MAY_DIFFER, { statementMs: 500, rangeRows: 150 });
  await until(async () => (await waiting('%ends.key%')) > 0, { what: 'the whole was given up' });
  await holder.query('rollback');
  holder.release();
  expect(await verifying).toMatchObject({ passed: false });
  const { rows } = await shop.db.query<{ count: number }>('select count(*) from read.order_summary__g1');
  const report = await reportOf(build);
  expect(report).toMatchObject({ missing: 0, extra: 600, different: 3, comparedRows: 600 + (rows[0]?.count ?? 0) });
  expect(report.parts).toBeGreaterThan(4);
  await shop.db.query(`update read.order_summary__g1 set units = 12 where units = 99`);
});

describe('entities that are parked', () => {
  const hold = (generation: number, id: string) =>
    shop.db.query(
      `insert into reprise.parked (consumer, generation, entity_type, entity_id, from_offset, event_id, error, fingerprint, attempts)
       select 'projection/order_summary', $1::integer, 'order', $2::text, "offset", event_id, 'x', 'x', 1
       from reprise.events where entity_type = 'order' and entity_id = $2::text order by version desc limit 1`,
      [generation, id],
    );
  afterEach(async () => {
    await shop.db.query('delete from reprise.parked');
    await shop.db.query('delete from reprise.skips');
    await catchUpLive('order_summary');
  });

  test('for the live one are listed apart: its older rows of them are no difference', async () => {
    await catchUpLive('order_summary');
    await hold(1, 'o-20');
    await shop.db.query(`update read.order_summary__g1 set version = 0 where order_id = 'o-20'`);
    const build = await shop.begin('order_summary');
    expect(await verify(shop.ports(), build, NOTHING_MAY_DIFFER)).toMatchObject({
      passed: true,
      summary: expect.stringContaining('1 entities parked for the active generation'),
    });
    expect(await reportOf(build)).toMatchObject({ parkedLive: ['order/o-20'], parkedNew: [], different: 0 });
    await shop.db.query(`delete from read.order_summary__g1 where order_id = 'o-20'`);
    await shop.db.query(
      `insert into read.order_summary__g1 select * from read.order_summary__g${build.generation} where order_id = 'o-20'`,
    );
  });

  test('for the new one fail it, until they are redriven', async () => {
    await catchUpLive('order_summary');
    const build = await shop.begin('order_summary');
    await hold(build.generation, 'o-21');
    expect(await verify(shop.ports(), build, NOTHING_MAY_DIFFER)).toMatchObject({ passed: false });
    expect(await reportOf(build)).toMatchObject({ parkedNew: ['order/o-21'], different: 0, extra: 0, missing: 1 });
    // From its first event: what was passed over comes now.
    await shop.db.query(`update reprise.parked set from_offset = 1`);
    await requestRedrive(shop.db, build.consumer, 'order/o-21');
    expect(await verify(shop.ports(), build, NOTHING_MAY_DIFFER)).toMatchObject({ passed: true });
    expect((await shop.db.query('select from reprise.parked')).rowCount).toBe(0);
  });

  test('a fold that fails on one event parks it in what is built, as it would live; skipped, it is skipped by both', async () => {
    await shop.send(shopCommands(5_003, 5_004)); // created, paid, shipped
    const throwing = defineModel({
      entities: [order, payment],
      projections: [
        {
          ...orderSummary,
          fold: (row, event) => {
            if (event.entityId === 'o-5003' && event.type === 'order.shipped') throw new Error('no carrier');
            return orderSummary.fold(row, event);
          },
        },
      ],
    });
    const feeding = await shop.feed('order_summary', 1, throwing);
    await until(() => shop.isAtHead('order_summary'), { what: 'parked, others go on' });
    await feeding.stop();
    const build = await shop.begin('order_summary');
    const ports = shop.ports(throwing);
    expect(await verify(ports, build, NOTHING_MAY_DIFFER)).toMatchObject({ passed: false });
    expect(await reportOf(build)).toMatchObject({
      parkedLive: ['order/o-5003'],
      parkedNew: ['order/o-5003'],
      share: 0,
    });
    await skipParked(shop.db, { consumer: build.consumer, entity: 'order/o-5003', reason: 'r', actor: 'a' });
    await until(
      async () => {
        const again = await shop.feed('order_summary', 1, throwing);
        await until(
          async () => (await shop.db.query('select from reprise.parked where generation = 1')).rowCount === 0,
          {
            what: 'it goes on',
          },
        );
        await again.stop();
        return true;
      },
      { what: 'it is skipped live' },
    );
    expect(await verify(ports, build, NOTHING_MAY_DIFFER)).toMatchObject({ passed: true });
    const report = await reportOf(build);
    expect(report).toMatchObject({ parkedLive: [], parkedNew: [], share: 0 });
    expect(report.skips).toHaveLength(1);
    // As it would be without that fold.
    await shop.db.query(
      `update read.order_summary__g1 set status = 'shipped', version = 3, shipped_at = (
         select occurred_at from reprise.events where entity_id = 'o-5003' and type = 'order.shipped')
       where order_id = 'o-5003'`,
    );
  });
});

test('changed code: common columns are compared, others listed; passes when accepted, or within its bound', async () => {
  await catchUpLive('order_summary');
  const second = projection('order_summary', {
    version: 2,
    from: [order],
    table: sql`order_id text primary key, units bigint not null, status text not null, version integer not null, priority text`,
    initial: (orderId) => ({ orderId, units: 0, status: 'created', version: 0, priority: null as string | null }),
    fold: {
      'order.created': (row, { data, version }) => ({
        ...row,
        units: data.lines.reduce((sum, { quantity }) => sum + quantity, 0),
        version,
        priority: 'low',
      }),
      'order.paid': (row, { version }) => ({ ...row, status: 'paid', version }),
      'order.shipped': (row, { version, entityId }) => ({
        ...row,
        status: entityId === 'o-2' ? 'paid' : 'shipped',
        version,
      }),
      'order.note-added': (row, { version }) => ({ ...row, version }),
    },
  });
  const changed = defineModel({ entities: [order, payment], projections: [second] });
  await migrate(shop.database.url, { model: changed, owned: true });
  const build = await shop.begin('order_summary', 2);
  const ports = shop.ports(changed);
  const strict = await verify(ports, build, NOTHING_MAY_DIFFER);
  expect(strict).toMatchObject({ passed: false, summary: expect.stringContaining('accept the report') });
  const report = await reportOf(build);
  expect(report).toMatchObject({ different: 1, missing: 0, extra: 0 });
  expect(report.samples).toMatchObject([{ key: 'o-2', changed: ['status'] }]);
  expect(report.columns.added).toEqual(['priority']);
  expect(report.columns.removed).toContain('customer_id');
  expect(report.columns.retyped).toEqual([{ name: 'units', from: 'integer', to: 'bigint' }]);
  expect(await verify(ports, build, { tolerance: { maxDifferent: 0.01 }, accept: false })).toMatchObject({
    passed: true,
  });
  expect(await verify(ports, build, { tolerance: { maxDifferent: 0 }, accept: true })).toMatchObject({ passed: true });
});

test('with a gap: what is filled does not pass a live one that nobody feeds; compared there, it goes on to the head', async () => {
  await catchUpLive('user_balance');
  const live = await readPlaces(shop.db, { consumer: 'projection/user_balance', generation: 1 });
  await shop.send(shopCommands(6_000, 6_050));
  const build = await shop.begin('user_balance');
  const ports = shop.ports();
  expect(await fill(ports, build, { nth: 0, of: 1 })).toBe('filled');
  expect(await readPlaces(shop.db, build)).toEqual(live);
  expect(await verify(ports, build, NOTHING_MAY_DIFFER)).toMatchObject({ passed: true });
  expect(await switchOver(ports, build, { reshape: false })).toBe(1);
  expect(await shop.isAtHead('user_balance', build.generation)).toBe(true);
  expect(await shop.isAtHead('user_balance', 1)).toBe(false);
});

test('whoever has not its code leaves it to another worker', async () => {
  const build = await shop.begin('order_summary', 2);
  await expect(verify(shop.ports(), build, NOTHING_MAY_DIFFER)).rejects.toThrow(
    /built by version 2, which is not here/,
  );
});
