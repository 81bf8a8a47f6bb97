import { addNote, cancelOrder, shipOrder } from '../shop/order/contract';
import { model } from '../shop/model';
import type { RepriseClient } from '../client/client';
import { create, pay, ship } from './support/orders';
import { TestSystem } from './support/system';
import { until } from './support/until';

type Shop = TestSystem<typeof model.entities>;
let system: Shop;
let client: RepriseClient<typeof model.entities>;

beforeAll(async () => {
  system = await TestSystem.open(model);
  await system.startEntityWorker();
  client = await system.client();
});
afterAll(() => system.close());

const eventsOf = async (id: string) =>
  (
    await system.db.query<{ version: number; event_id: string; command_id: string; type: string }>(
      `select version, event_id, command_id, type from reprise.events where entity_type = 'order' and entity_id = $1 order by version`,
      [id],
    )
  ).rows;

/** At different points of their lives, so that a test that looks at all rows has some when it runs by itself. */
async function someOrders(name: string): Promise<void> {
  await Promise.all(
    [1, 2, 3].map(async (steps) => {
      const order = client.order(`${name}-${steps}`);
      for (const step of [create(), pay(), ship()].slice(0, steps)) await order.send(step);
    }),
  );
}

describe('invariant 1: acknowledged = one commit', () => {
  test('invariant 1: an accepted command has exactly its events, and a repeat gets the first answer with the same event ids', async () => {
    const order = client.order('inv1-a');
    const first = await order.send(create(), { commandId: 'c' });
    const again = await order.send(create(), { commandId: 'c' });
    expect(first).toMatchObject({ outcome: 'accepted', version: 1, repeated: false });
    expect(again).toMatchObject({ outcome: 'accepted', version: 1, repeated: true });
    const events = await eventsOf('inv1-a');
    expect(events).toHaveLength(1);
    expect([first, again].map((answer) => answer.outcome === 'accepted' && answer.eventIds)).toEqual([
      [events[0]?.event_id],
      [events[0]?.event_id],
    ]);
  });

  test('invariant 1: forty sends of one command at once commit once', async () => {
    const answers = await Promise.all(
      Array.from({ length: 40 }, () => client.order('inv1-b').send(create(), { commandId: 'same' })),
    );
    expect(answers.every(({ outcome }) => outcome === 'accepted')).toBe(true);
    expect(await eventsOf('inv1-b')).toHaveLength(1);
  });

  test('invariant 1: a refused command leaves no event and its refusal is repeated after the state has changed', async () => {
    const order = client.order('inv1-c');
    await order.send(create());
    expect(await order.send(ship(), { commandId: 'early' })).toMatchObject({
      outcome: 'refused',
      code: 'order.not_paid',
    });
    await order.send(pay());
    expect(await order.send(ship(), { commandId: 'early' })).toMatchObject({
      outcome: 'refused',
      code: 'order.not_paid',
      repeated: true,
    });
    expect(await order.send(ship(), { commandId: 'again' })).toMatchObject({ outcome: 'accepted', version: 3 });
  });

  test('invariant 1: the same id sent to two orders is two commands', async () => {
    const [a, b] = await Promise.all([
      client.order('inv1-d').send(create(), { commandId: 'shared' }),
      client.order('inv1-e').send(create(), { commandId: 'shared' }),
    ]);
    expect([a.outcome, b.outcome]).toEqual(['accepted', 'accepted']);
    expect((await eventsOf('inv1-d'))[0]?.event_id).not.toBe((await eventsOf('inv1-e'))[0]?.event_id);
  });
});

test('invariant 2: the same id with another body is refused and nothing is written', async () => {
  const order = client.order('inv2');
  await order.send(create());
  await order.send(addNote({ text: 'one' }), { commandId: 'n' });
  expect(await order.send(addNote({ text: 'two' }), { commandId: 'n' })).toMatchObject({
    outcome: 'refused',
    code: 'reprise.command_id_reused',
  });
  expect(await eventsOf('inv2')).toHaveLength(2);
  expect(await order.send(addNote({ text: 'one' }), { commandId: 'n' })).toMatchObject({
    outcome: 'accepted',
    repeated: true,
  });
});

test('dedup comes before expectedVersion, and a stale expectation is not recorded', async () => {
  const order = client.order('stale');
  await order.send(create(), { commandId: 'c', expectedVersion: 0 });
  expect(await order.send(create(), { commandId: 'c', expectedVersion: 0 })).toMatchObject({
    outcome: 'accepted',
    repeated: true,
  });
  expect(await order.send(pay(), { commandId: 'p', expectedVersion: 7 })).toMatchObject({
    outcome: 'refused',
    code: 'reprise.version_stale',
    version: 1,
  });
  expect(await order.send(pay(), { commandId: 'p', expectedVersion: 1 })).toMatchObject({
    outcome: 'accepted',
    version: 2,
  });
});

test('forty commands at once on one order are each committed once, in some order', async () => {
  const order = client.order('forty');
  await order.send(create());
  const answers = await Promise.all(
    Array.from({ length: 40 }, (_, n) => order.send(addNote({ text: `note ${n}` }), { commandId: `n${n}` })),
  );
  expect(
    answers.map((answer) => answer.outcome === 'accepted' && answer.version).sort((a, b) => Number(a) - Number(b)),
  ).toEqual(Array.from({ length: 40 }, (_, n) => n + 2));
});

test('a batch with a refusal among it commits the others', async () => {
  const order = client.order('mixed');
  await order.send(create());
  const answers = await Promise.all([
    order.send(addNote({ text: 'a' })),
    order.send(shipOrder({ carrier: 'x' })),
    order.send(addNote({ text: 'b' })),
  ]);
  expect(answers.map(({ outcome }) => outcome)).toEqual(['accepted', 'refused', 'accepted']);
});

test('a shipped order closes, and a late command opens it again', async () => {
  const order = client.order('closing');
  await order.send(create());
  await order.send(pay());
  await order.send(ship());
  const handle = system.temporal.workflow.getHandle(`${system.name}order/closing`);
  await until(async () => (await handle.describe()).status.name === 'COMPLETED', { what: 'the workflow closes' });
  expect(await order.send(cancelOrder({ reason: 'late' }))).toMatchObject({
    outcome: 'refused',
    code: 'order.already_shipped',
  });
});

test('a run terminated while the client takes it for open is started again by the next send', async () => {
  const order = client.order('terminated');
  await order.send(create());
  await order.send(addNote({ text: 'taken as an update alone' }));
  await system.temporal.workflow.getHandle(`${system.name}order/terminated`).terminate('by hand');
  expect(await order.send(pay())).toMatchObject({ outcome: 'accepted', version: 3 });
});

test('an open order stays open', async () => {
  await client.order('open').send(create());
  const { status } = await system.temporal.workflow.getHandle(`${system.name}order/open`).describe();
  expect(status.name).toBe('RUNNING');
});

test('a posted command is committed without an answer', async () => {
  const order = client.order('posted');
  await order.send(create());
  await order.post(addNote({ text: 'by the way' }), { commandId: 'p' });
  await until(async () => (await eventsOf('posted')).length === 2, { what: 'the posted command is committed' });
});

test('state, history and at show the past as it was', async () => {
  const order = client.order('past');
  await order.send(create(), { occurredAt: '1996-07-04T00:00:00Z' });
  await order.send(pay(), { occurredAt: '1996-07-05T00:00:00Z' });
  const history = await order.history();
  expect(history.map(({ type }) => type)).toEqual(['order.created', 'order.paid']);
  expect((await order.state())?.state.status).toBe('paid');
  expect((await order.at(1))?.state.status).toBe('created');
  expect((await order.at({ occurred: new Date('1996-07-04T12:00:00Z') }))?.state.status).toBe('created');
  expect((await order.at(new Date()))?.state.status).toBe('paid');
  expect(await order.at(new Date('2000-01-01'))).toBeNull();
  expect(await client.order('nobody').state()).toBeNull();
});

test('invariant 5: state is the fold of the events', async () => {
  await someOrders('inv5');
  const { rows } = await system.db.query<{ entity_id: string; state: unknown; version: number }>(
    `select entity_id, state, version from reprise.entities where entity_type = 'order'`,
  );
  expect(rows.length).toBeGreaterThan(2);
  for (const { entity_id, state, version } of rows) {
    const past = await client.order(entity_id).at(version);
    expect({ state: past?.state, version: past?.version }).toEqual({ state, version });
  }
});

test('invariant 4: versions are 1..n per entity and offsets 1..head per partition', async () => {
  await someOrders('inv4');
  const { rows: entities } = await system.db.query(
    `select e.entity_id from reprise.events e left join reprise.entities s using (entity_type, entity_id)
     group by e.entity_type, e.entity_id, s.version having count(*) <> max(e.version) or max(e.version) is distinct from s.version`,
  );
  const { rows: partitions } = await system.db.query(
    `select p.partition from reprise.partitions p left join reprise.events e using (partition)
     group by p.partition, p.head having count(e.*) <> p.head or coalesce(max(e."offset"), 0) <> p.head`,
  );
  expect({ entities, partitions }).toEqual({ entities: [], partitions: [] });
});
