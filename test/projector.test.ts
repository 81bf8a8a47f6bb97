import { z } from 'zod';
import type { RepriseClient } from '../client/client';
import { event } from '../contracts/event';
import { resetProjection } from '../db/generations';
import { readProjections } from '../db/projections';
import { model as defineModel } from '../model/model';
import { partitionOf } from '../model/partition';
import { model } from '../shop/model';
import { order } from '../shop/order/entity';
import { orderSummary } from '../shop/order/projections';
import { addNote } from '../shop/order/contract';
import { capturePayment, refundPayment } from '../shop/payment/contract';
import type { Running } from '../workers/running';
import { startChild } from './support/child';
import { create, pay, ship } from './support/orders';
import { TestSystem } from './support/system';
import { until } from './support/until';

let system: TestSystem<typeof model.entities>;
let client: RepriseClient<typeof model.entities>;
let consumers: Running;

beforeAll(async () => {
  system = await TestSystem.open(model);
  // Every row a projector writes, in the order it became visible: what readers could see.
  await system.db.query(`
    create table read.seen (nth bigserial, order_id text, version integer);
    grant insert on read.seen to reprise_project; grant usage on sequence read.seen_nth_seq to reprise_project;
    create function read.see() returns trigger language plpgsql as $$
      begin insert into read.seen (order_id, version) values (new.order_id, new.version); return new; end $$;
    create trigger see after insert or update on read.order_summary__g1 for each row execute function read.see();`);
  await system.startEntityWorker();
  consumers = await system.startConsumers();
  client = await system.client();
});
afterAll(() => system.close());

const rowOf = async (id: string) =>
  (await system.db.query<Record<string, unknown>>('select * from read.order_summary where order_id = $1', [id]))
    .rows[0];
const caughtUp = () =>
  until(async () => (await readProjections(system.db)).every(({ lag_events }) => lag_events === 0), { what: 'lag 0' });

test('invariant 21: with waitFor a reader sees its own write', async () => {
  for (let n = 0; n < 20; n++) {
    const answer = await client.order(`own-${n}`).send(create(), { waitFor: ['order_summary'] });
    expect(answer).toMatchObject({ outcome: 'accepted', waited: { order_summary: 'applied' } });
    expect(await rowOf(`own-${n}`)).toMatchObject({ status: 'created', total_minor: 16_800, version: 1 });
  }
});

test('invariant 21: reads of one client never go back', async () => {
  const order = client.order('forward');
  await order.send(create(), { waitFor: ['order_summary'] });
  const seen: number[] = [];
  let writing = true;
  const reading = (async () => {
    while (writing) seen.push(Number((await rowOf('forward'))?.['version']));
  })();
  await Promise.all(
    Array.from({ length: 60 }, (_, n) => order.send(addNote({ text: `${n}` }), { waitFor: ['order_summary'] })),
  );
  writing = false;
  await reading;
  expect(seen).toEqual([...seen].sort((a, b) => a - b));
  expect(await rowOf('forward')).toMatchObject({ version: 61 });
});

test('a read model that is not in the model cannot be waited for', async () => {
  await expect(client.order('own-0').send(pay(), { waitFor: ['order_summry'] })).rejects.toThrow(/order_summary/);
});

test('invariant 22: lag is counted exactly, and grows while the consumer is dead', async () => {
  await caughtUp();
  await consumers.stop();
  for (let n = 0; n < 5; n++) await client.order(`lag-${n}`).send(create());
  const { rows } = await system.db.query<{ by_hand: number }>(
    `select sum(p.head + 1 - c.next_offset)::bigint as by_hand from reprise.partitions p join reprise.checkpoints c using (partition)
     where c.consumer = 'projection/order_summary'`,
  );
  const told = (await readProjections(system.db)).find(({ name }) => name === 'order_summary');
  expect(told?.lag_events).toBe(rows[0]?.by_hand);
  expect(told?.lag_events).toBe(5);
  expect(told?.lag_seconds).toBeGreaterThan(0);
  expect(await client.order('lag-0').send(pay(), { waitFor: ['order_summary'], deadline: 1_000 })).toMatchObject({
    outcome: 'accepted',
    waited: { order_summary: 'late' },
  });
  consumers = await system.startConsumers();
  await caughtUp();
  expect(await rowOf('lag-4')).toMatchObject({ status: 'created' });
});

test('invariant 11: a transaction that holds one partition and commits late is waited for, and others go on', async () => {
  const held = partitionOf('order', 'held', 64);
  const ids = Array.from({ length: 200 }, (_, n) => `beside-${n}`);
  const beside = ids.find((id) => partitionOf('order', id, 64) !== held) ?? '';
  const same = ids.find((id) => partitionOf('order', id, 64) === held) ?? '';
  const holder = await system.db.connect();
  await holder.query('begin');
  await holder.query('update reprise.partitions set head = head where partition = $1', [held]);
  const waiting = client.order(same).send(create(), { waitFor: ['order_summary'] });
  await client.order(beside).send(create(), { waitFor: ['order_summary'] });
  expect(await rowOf(same)).toBeUndefined();
  await holder.query('commit');
  holder.release();
  expect(await waiting).toMatchObject({ outcome: 'accepted', waited: { order_summary: 'applied' } });
});

test('invariant 11: two projectors at once, one stopped inside its transaction: nothing skipped, nothing twice', async () => {
  await caughtUp();
  await consumers.stop();
  for (let n = 0; n < 8; n++) await client.order(`two-${n}`).send(create());
  const child = startChild('stopping-projector.ts', { CHILD_DATABASE_URL: system.database.urlOf('project') });
  await until(() => child.messages.includes('stopping'), { what: 'the child holds its transaction' });
  consumers = await system.startConsumers();
  for (let n = 0; n < 8; n++) await client.order(`two-${n}`).send(pay(), { waitFor: ['order_summary'] });
  child.process.kill('SIGCONT');
  await until(() => child.ended(), { what: 'the zombie gives up' });
  expect(child.messages.at(-1)).not.toBe('stopping');
  for (let n = 0; n < 8; n++) expect(await rowOf(`two-${n}`)).toMatchObject({ status: 'paid', version: 2 });
});

test('invariant 11: what readers saw rose by one version at a time or jumped ahead within a chunk, never back', async () => {
  await caughtUp();
  const { rows } = await system.db.query(
    `select order_id, version, lag(version) over (partition by order_id order by nth) as before from read.seen`,
  );
  const back = (rows as { version: number; before: number | null }[]).filter(
    ({ version, before }) => before !== null && version <= before,
  );
  expect(back).toEqual([]);
  const { rows: wrong } = await system.db.query(
    `select s.order_id from read.order_summary s full join reprise.entities e on e.entity_id = s.order_id
     where s.version is distinct from e.version`,
  );
  expect(wrong).toEqual([]);
});

test('a read model that was reset is folded again to the same rows', async () => {
  await caughtUp();
  const all = 'select * from read.order_summary order by order_id';
  const before = (await system.db.query(all)).rows;
  await system.db.query('drop trigger see on read.order_summary__g1');
  await resetProjection(system.database.url, orderSummary);
  await caughtUp();
  expect((await system.db.query(all)).rows).toEqual(before);
});

test('a row fed by many payments at once counts every one of them', async () => {
  const payments = Array.from({ length: 60 }, (_, n) => client.payment(`many-${n}`));
  const taken = { userId: 'BUSY', amountMinor: 100, currency: 'EUR' };
  await Promise.all(payments.map((payment) => payment.send(capturePayment(taken), { waitFor: ['user_balance'] })));
  await Promise.all(
    payments
      .slice(0, 10)
      .map((payment) => payment.send(refundPayment({ amountMinor: 40 }), { waitFor: ['user_balance'] })),
  );
  const { rows } = await system.db.query(`select * from read.user_balance where user_id = 'BUSY'`);
  expect(rows).toMatchObject([{ captured_minor: 6_000, refunded_minor: 400, balance_minor: 5_600, payments: 60 }]);
});

test('a paused consumer stands still, also when its workflow is not asked', async () => {
  await system.db.query(`update reprise.checkpoints set status = 'paused'`);
  expect(await client.order('paused').send(create(), { waitFor: ['order_summary'], deadline: 1_500 })).toMatchObject({
    waited: { order_summary: 'late' },
  });
  expect(await rowOf('paused')).toBeUndefined();
  await system.db.query(`update reprise.checkpoints set status = 'running'`);
  await until(() => rowOf('paused'), { what: 'it goes on' });
});

test('waitFor answers parked when the entity is held back for that consumer', async () => {
  await client.order('parked').send(create(), { waitFor: ['order_summary'] });
  await system.db.query(
    `insert into reprise.parked (consumer, generation, entity_type, entity_id, from_offset, error, fingerprint, attempts)
     values ('projection/order_summary', 1, 'order', 'parked', 1, 'x', 'x', 1)`,
  );
  expect(await client.order('parked').send(pay(), { waitFor: ['order_summary'] })).toMatchObject({
    waited: { order_summary: 'parked' },
  });
  await system.db.query('delete from reprise.parked');
});

test('an event only newer code knows is no poison: the partition stands still as behind-code until that code runs', async () => {
  await caughtUp();
  await consumers.stop();
  const newer = event('order.shipped', {
    version: 2,
    data: z.object({ carrier: z.string() }),
    upcasts: { 1: (old: object) => old },
  });
  await client.order('newer').send(create());
  await client.order('newer').send(pay());
  await system.db.query(`alter table reprise.events disable trigger events_append_only`);
  await system.db.query(`update reprise.events set schema_version = 2 where entity_id = 'newer' and version = 2`);
  await system.db.query(`alter table reprise.events enable trigger events_append_only`);
  consumers = await system.startConsumers();
  const still = await until(
    async () =>
      (await system.db.query<{ error: string }>(`select error from reprise.checkpoints where status = 'behind-code'`))
        .rows[0],
    { what: 'behind-code' },
  );
  expect(still.error).toMatch(/order\.paid version 2/);
  expect(await rowOf('newer')).toMatchObject({ status: 'created', version: 1 });
  await consumers.stop();
  const events = [...order.events.filter(({ type }) => type !== 'order.paid' && type !== 'order.shipped'), newer];
  const paid = event('order.paid', {
    version: 2,
    data: z.object({ amountMinor: z.number() }),
    upcasts: { 1: (old: object) => old },
  });
  const deployed = defineModel({
    entities: [{ ...order, events: [...events, paid] } as never],
    projections: [orderSummary],
  });
  consumers = await system.startConsumers({ model: deployed });
  await until(async () => (await rowOf('newer'))?.['version'] === 2, { what: 'the newer worker goes on' });
});

test('a shipped order reads as shipped', async () => {
  const one = client.order('whole');
  await one.send(create(), { occurredAt: '1996-07-04T00:00:00Z' });
  await one.send(pay());
  await one.send(ship(), { occurredAt: '1996-07-16T00:00:00Z', waitFor: ['order_summary'] });
  expect(await rowOf('whole')).toMatchObject({
    status: 'shipped',
    customer_id: 'VINET',
    lines: 1,
    units: 12,
    created_at: '1996-07-04T00:00:00Z',
    shipped_at: '1996-07-16T00:00:00Z',
    cancelled_at: null,
  });
});
