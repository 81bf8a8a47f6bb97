import type { Pool } from 'pg';
import { drop, rollBack, switchOver } from '../activities/replay/switch';
import { verify } from '../activities/replay/verify';
import type { RepriseClient } from '../client/client';
import { migrate } from '../db/migrate';
import { readParked, skipParked } from '../db/parked';
import { readProjections } from '../db/projections';
import { model as defineModel, type Model } from '../model/model';
import { projection, type sql } from '../model/projection';
import { model } from '../shop/model';
import { addNote } from '../shop/order/contract';
import { order } from '../shop/order/entity';
import { orderSummary } from '../shop/order/projections';
import type { Build } from '../workflows/replay';
import type { Running } from '../workers/running';
import { create, pay, ship } from './support/orders';
import { Rebuilding } from './support/rebuilding';
import { TestSystem } from './support/system';
import { until } from './support/until';

const STRICT = { tolerance: { maxDifferent: 0 }, accept: false };
const AS_IT_IS = { reshape: false };
const CONSUMER = 'projection/order_summary';
let system: TestSystem<typeof model.entities>;
let shop: Rebuilding;
let client: RepriseClient<typeof model.entities>;
let consumers: Running;

beforeAll(async () => {
  system = await TestSystem.open(model);
  shop = Rebuilding.of(system.database, model);
  await system.startEntityWorker();
  consumers = await system.startConsumers();
  client = await system.client();
  await Promise.all(
    Array.from({ length: 30 }, async (_, n) => {
      const one = client.order(`o-${n}`);
      for (const step of [create(), pay(), ship()].slice(0, 1 + (n % 3))) await one.send(step);
    }),
  );
});
afterAll(async () => {
  await shop.closePools();
  await system.close();
});

afterEach(async () => {
  await system.db.query(
    `select reprise.drop_generation(consumer, generation) from reprise.generations where status = 'building'`,
  );
});

const statuses = async () =>
  Object.fromEntries(
    (await readProjections(system.db))
      .filter(({ name }) => name === 'order_summary')
      .map((one) => [one.generation, one.status]),
  );
const atHead = (generation: number) =>
  until(() => shop.isAtHead('order_summary', generation), { what: `generation ${generation} is at head` });
const replayOf = async ({ consumer, generation }: Build) =>
  (
    await system.db.query<{ phase: string; ended_at: string | null }>(
      'select phase, ended_at from reprise.replays where consumer = $1::text and generation = $2::integer',
      [consumer, generation],
    )
  ).rows[0];

/** Orders get notes, one after the other; each waits until the read model shows it, and reads it there. */
function keepWriting(ids: readonly string[]) {
  let going = true;
  let sent = 0;
  const writing = ids.map(async (id) => {
    while (going) {
      const answer = await client.order(id).send(addNote({ text: 'n' }), { waitFor: ['order_summary'] });
      expect(answer).toMatchObject({ outcome: 'accepted', waited: { order_summary: 'applied' } });
      const { rows } = await system.db.query<{ version: number }>(
        'select version from read.order_summary where order_id = $1::text',
        [id],
      );
      expect(rows[0]?.version).toBeGreaterThanOrEqual('version' in answer ? answer.version : Infinity);
      sent += 1;
    }
  });
  const some = async () => {
    const before = sent;
    await until(() => sent > before + 10, { what: 'commands go on' });
  };
  const stop = async () => {
    going = false;
    await Promise.all(writing);
  };
  return { some, stop };
}

/** Reads all of it again and again, on one connection, and keeps what went back. */
async function keepReading() {
  const reader: Pool = shop.pool('read');
  const seen = new Map<string, number>();
  const back: string[] = [];
  let going = true;
  const reading = (async () => {
    while (going) {
      const { rows } = await reader.query<{ order_id: string; version: number }>(
        'select order_id, version from read.order_summary',
      );
      if (rows.length < seen.size) back.push(`${seen.size - rows.length} rows are gone`);
      for (const { order_id, version } of rows) {
        if (version < (seen.get(order_id) ?? 0)) back.push(`${order_id} from ${seen.get(order_id)} to ${version}`);
        seen.set(order_id, version);
      }
    }
  })();
  return async () => {
    going = false;
    await reading;
    return back;
  };
}

const wrongRows = async () =>
  (
    await system.db.query(
      `select e.entity_id from reprise.entities e full join read.order_summary s on s.order_id = e.entity_id
       where e.entity_type = 'order' and s.version is distinct from e.version
         and not exists (select from reprise.skips k join reprise.events using (event_id) where entity_id = e.entity_id)`,
    )
  ).rows;

test('invariants 13 and 21: verified, switched, rolled back and switched again under traffic, no reader goes back and every event is in', async () => {
  const writing = keepWriting(['o-0', 'o-1', 'o-2', 'o-3']);
  const stopReading = await keepReading();
  const ports = shop.ports();
  const build = await shop.begin('order_summary');
  expect(await verify(ports, build, STRICT)).toMatchObject({ passed: true });
  await writing.some();
  expect(await switchOver(ports, build, AS_IT_IS)).toBe(1);
  expect(await statuses()).toEqual({ 1: 'standby', [build.generation]: 'active' });
  expect(await replayOf(build)).toEqual({ phase: 'switched', ended_at: null });
  await writing.some();
  await rollBack(ports, build, 1);
  expect(await statuses()).toEqual({ 1: 'active', [build.generation]: 'standby' });
  expect(await replayOf(build)).toMatchObject({ phase: 'rolled-back' });
  await writing.some();
  await drop(ports, build, { generation: build.generation, phase: null });
  const again = await shop.begin('order_summary');
  expect(await verify(ports, again, STRICT)).toMatchObject({ passed: true });
  expect(await switchOver(ports, again, AS_IT_IS)).toBe(1);
  await writing.some();
  await writing.stop();
  expect(await stopReading()).toEqual([]);
  await Promise.all([atHead(1), atHead(again.generation)]);
  expect(await wrongRows()).toEqual([]);
  await drop(ports, again, { generation: 1, phase: null });
  expect(await statuses()).toEqual({ [again.generation]: 'active' });
  expect((await replayOf(again))?.ended_at).not.toBeNull();
});

const active = async () => Number(Object.entries(await statuses()).find(([, status]) => status === 'active')?.[0]);

test('what was done before its answer was lost is not done again: each answers as if it had', async () => {
  const before = await active();
  const ports = shop.ports();
  const build = await shop.begin('order_summary');
  expect(await switchOver(ports, build, AS_IT_IS)).toBe(before);
  expect(await switchOver(ports, build, AS_IT_IS)).toBe(before);
  await atHead(before);
  await rollBack(ports, build, before);
  await rollBack(ports, build, before);
  expect(await active()).toBe(before);
  for (let nth = 0; nth < 2; nth++) await drop(ports, build, { generation: build.generation, phase: null });
  const { rows } = await system.db.query(
    `select from pg_tables where tablename = 'order_summary__g${build.generation}'`,
  );
  expect(rows).toEqual([]);
  expect(await replayOf(build)).toMatchObject({ phase: 'rolled-back' });
  await expect(rollBack(ports, build, build.generation)).rejects.toMatchObject({ type: 'Refused' });
});

test('the active generation cannot be dropped', async () => {
  const build = { consumer: CONSUMER, generation: await active() };
  await expect(drop(shop.ports(), build, { generation: build.generation, phase: 'dropped' })).rejects.toMatchObject({
    type: 'Refused',
    nonRetryable: true,
  });
});

test('the workflow of a generation that was dropped ends', async () => {
  const ports = shop.ports();
  const before = await active();
  const build = await shop.begin('order_summary');
  await switchOver(ports, build, AS_IT_IS);
  await drop(ports, build, { generation: before, phase: null });
  const handle = system.temporal.workflow.getHandle(`${system.name}${CONSUMER}/g${before}`);
  await until(async () => (await handle.describe()).status.name === 'COMPLETED', { what: 'it has ended' });
  expect(await client.order('o-4').send(addNote({ text: 'n' }), { waitFor: ['order_summary'] })).toMatchObject({
    waited: { order_summary: 'applied' },
  });
});

test('a query that reads the view for long is waited for, by a switch and by a drop', async () => {
  const ports = shop.ports();
  const before = await active();
  const build = await shop.begin('order_summary');
  const reader = await shop.pool('read').connect();
  const waits = async () =>
    ((await system.db.query(`select from pg_stat_activity where query ~ '_generation' and wait_event_type = 'Lock'`))
      .rowCount ?? 0) > 0;
  const hinder = async (work: () => Promise<unknown>) => {
    await reader.query('begin');
    await reader.query('select count(*) from read.order_summary');
    await reader.query(`select count(*) from read.order_summary__g${before}`);
    const done = work();
    await until(waits, { what: 'it waits' });
    await until(async () => !(await waits()), { what: 'it lets others go first' });
    await reader.query('select 1'); // its own limit is for transactions that do nothing
    await reader.query('commit');
    return done;
  };
  expect(await hinder(() => switchOver(ports, build, AS_IT_IS))).toBe(before);
  await hinder(() => drop(ports, build, { generation: before, phase: null }));
  reader.release();
  expect(await statuses()).toEqual({ [build.generation]: 'active' });
});

const failingOn = (entityId: string): Model =>
  defineModel({
    entities: model.entities,
    projections: [
      {
        ...orderSummary,
        fold: (row, event) => {
          if (event.entityId === entityId && event.type === 'order.paid') throw new Error('cannot');
          return orderSummary.fold(row, event);
        },
      },
    ],
  });

test('while an entity is parked for it a switch is refused, and changes nothing; skipped, it is allowed', async () => {
  const before = await active();
  await client.order('bad').send(create());
  await client.order('bad').send(pay());
  const ports = shop.ports(failingOn('bad'));
  const build = await shop.begin('order_summary');
  expect(await verify(ports, build, STRICT)).toMatchObject({ passed: false });
  await expect(switchOver(ports, build, AS_IT_IS)).rejects.toMatchObject({
    type: 'Refused',
    nonRetryable: true,
    message: expect.stringMatching(/1 entities are parked .*skip or redrive/),
  });
  expect(await active()).toBe(before);
  expect(await readParked(system.db, CONSUMER, 'order/bad')).toMatchObject([{ generation: build.generation }]);
  await skipParked(system.db, { consumer: CONSUMER, entity: 'order/bad', reason: 'r', actor: 'a' });
  expect(await switchOver(ports, build, AS_IT_IS)).toBe(before);
  expect(await readParked(system.db, CONSUMER, 'order/bad')).toEqual([]);
});

test('a rollback to a generation that nobody feeds is refused, with how far it is behind', async () => {
  const before = await active();
  const build = await shop.begin('order_summary');
  await switchOver(shop.ports(), build, AS_IT_IS);
  await atHead(before);
  await system.db.query(
    `update reprise.checkpoints set status = 'paused' where consumer = $1::text and generation = $2::integer`,
    [CONSUMER, before],
  );
  await client.order('o-5').send(addNote({ text: 'n' }), { waitFor: ['order_summary'] });
  await expect(rollBack(shop.ports(), build, before)).rejects.toMatchObject({
    type: 'Refused',
    message: expect.stringMatching(/is 1 events behind/),
  });
  expect(await active()).toBe(build.generation);
  await drop(shop.ports(), build, { generation: before, phase: null });
});

const summaryOf = (version: number, table: ReturnType<typeof sql>, more: object) =>
  projection('order_summary', {
    version,
    from: [order],
    table,
    initial: (orderId) => ({ ...orderSummary.initial(orderId), ...more }) as Record<string, unknown>,
    fold: Object.fromEntries(orderSummary.events.map((type) => [type, orderSummary.fold])) as never,
  });

const OTHER_COLUMNS = `order_id text primary key, customer_id text not null, status text not null, currency text not null,
  total_minor bigint not null, freight_minor bigint not null, lines integer not null, units integer not null,
  created_at timestamptz, paid_at timestamptz, shipped_at timestamptz, cancelled_at timestamptz, version integer not null`;

const granted = async () =>
  (
    await system.db.query<{ reads: boolean; feeds: boolean }>(
      `select has_table_privilege('reprise_read', 'read.order_summary', 'select') as reads,
              has_table_privilege('reprise_feed', 'read.order_summary', 'select') as feeds`,
    )
  ).rows[0];

test('a column more is a switch like any other; one of another type needs --reshape; who could read the view can; the way back is open', async () => {
  await system.db.query('grant select on read.order_summary to reprise_feed');
  const more = summaryOf(2, { kind: 'ddl', text: `${OTHER_COLUMNS}, priority text` }, { priority: 'low' });
  const other = summaryOf(3, { kind: 'ddl', text: OTHER_COLUMNS.replace('units integer', 'units bigint') }, {});
  const [second, third] = [more, other].map((one) => defineModel({ entities: model.entities, projections: [one] }));
  const first = await active();
  for (const changed of [second, third]) await migrate(system.database.url, { model: changed as Model, owned: true });
  const ofSecond = await system.startConsumers({ model: second as Model });
  const ofThird = await system.startConsumers({ model: third as Model });

  const widened = await shop.begin('order_summary', 2);
  expect(await verify(shop.ports(second), widened, STRICT)).toMatchObject({ passed: true });
  expect(await switchOver(shop.ports(second), widened, AS_IT_IS)).toBe(first);
  const read = async () =>
    (await shop.pool('read').query(`select * from read.order_summary where order_id = 'o-0'`)).rows[0];
  expect(await read()).toMatchObject({ priority: 'low' });
  expect(await granted()).toEqual({ reads: true, feeds: true });
  expect(await client.order('o-6').send(addNote({ text: 'n' }), { waitFor: ['order_summary'] })).toMatchObject({
    waited: { order_summary: 'applied' },
  });
  await rollBack(shop.ports(second), widened, first);
  expect(await read()).not.toHaveProperty('priority');
  expect(await granted()).toEqual({ reads: true, feeds: true });

  const reshaped = await shop.begin('order_summary', 3);
  expect(await verify(shop.ports(third), reshaped, STRICT)).toMatchObject({ passed: true });
  await expect(switchOver(shop.ports(third), reshaped, AS_IT_IS)).rejects.toMatchObject({
    type: 'Refused',
    message: expect.stringContaining('--reshape'),
  });
  expect(await active()).toBe(first);
  expect(await switchOver(shop.ports(third), reshaped, { reshape: true })).toBe(first);
  expect(await granted()).toEqual({ reads: true, feeds: true });
  await rollBack(shop.ports(third), reshaped, first);
  expect(await active()).toBe(first);
  await Promise.all([ofSecond.stop(), ofThird.stop()]);
});

test('who depends on the view is told, and not dropped with it', async () => {
  await system.db.query('create view read.of_a_team as select order_id, units from read.order_summary');
  const { rows } = await system.db.query<{ generation: number }>(
    `select generation from reprise.generations where consumer = $1::text and declared_version = 3`,
    [CONSUMER],
  );
  const reshaped = { consumer: CONSUMER, generation: rows[0]?.generation ?? 0 };
  const ports = shop.ports();
  await drop(ports, reshaped, { generation: reshaped.generation, phase: null });
  const build = await shop.begin('order_summary', 3);
  const other = summaryOf(3, { kind: 'ddl', text: OTHER_COLUMNS.replace('units integer', 'units bigint') }, {});
  const changed = shop.ports(defineModel({ entities: model.entities, projections: [other] }));
  await expect(switchOver(changed, build, { reshape: true })).rejects.toMatchObject({
    type: 'Refused',
    message: expect.stringMatching(/depends on read.order_summary/),
  });
  await system.db.query('drop view read.of_a_team');
  await drop(ports, build, { generation: build.generation, phase: 'cancelled' });
  expect(await replayOf(build)).toMatchObject({ phase: 'cancelled' });
});

test('with its consumers stopped a switch still answers, and what it lacks comes when they are back', async () => {
  await atHead(await active());
  await consumers.stop();
  await client.order('o-7').send(addNote({ text: 'n' }));
  const before = await active();
  const build = await shop.begin('order_summary');
  expect(await switchOver(shop.ports(), build, AS_IT_IS)).toBe(before);
  // It began nearer to the head than the one it replaced.
  expect(await shop.isAtHead('order_summary', before)).toBe(false);
  expect(await shop.isAtHead('order_summary', build.generation)).toBe(true);
  consumers = await system.startConsumers();
  await atHead(before);
  expect(await wrongRows()).toEqual([]);
});
