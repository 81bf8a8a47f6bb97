import { randomBytes, randomUUID } from 'node:crypto';
import { connect as connectRabbit } from 'amqplib';
import { readNext } from '../activities/relay/outbox';
import { checkSinks } from '../cli/doctor/sinks';
import { readFigures } from '../db/figures';
import { requestRedrive, skipParked } from '../db/parked';
import { addSink, removeSink } from '../db/sinks';
import { MessageRefused, type OutboxMessage, type Sink } from '../relay/sink';
import { openRabbitMq } from '../relay/sinks/rabbitmq';
import { natsBus, OwnNats, rabbitBus } from './support/brokers';
import { Proxy } from './support/proxy';
import { counterCommand } from './support/counters';
import { kafkaBus, startKafka } from './support/kafka';
import { openRelaying, type Relaying } from './support/relaying';
import { required } from './support/system';
import { until } from './support/until';

let relaying: Relaying;
beforeAll(async () => {
  relaying = await openRelaying();
});
afterAll(() => relaying.close());

const row = (sink: string) => ({ sink, kind: 'nats' as const, options: {} });
const many = (name: string, count: number) => Array.from({ length: count }, (_, n) => counterCommand(`${name}-${n}`));

/** A sink of the test's own. */
const made = (publish: (message: OutboxMessage) => Promise<void>): (() => Promise<Sink>) => {
  const sink: Sink = { warnings: [], publish, close: () => Promise.resolve() };
  return () => Promise.resolve(sink);
};

test('a sink that refuses everything is stopped, not parked to the last entity; redriven, it goes on in order', async () => {
  await addSink(relaying.database.db, row('deaf'));
  await relaying.commitAll([...many('deaf', 300), ...many('deaf', 300)]);
  let deaf = true;
  const published: OutboxMessage[] = [];
  const open = made((message) => {
    if (deaf) return Promise.reject(new MessageRefused('no permission'));
    published.push(message);
    return Promise.resolve();
  });
  const relay = relaying.relayTo('deaf', open, 20);
  const status = async () => (await relaying.statusOf('deaf'))?.status;
  await until(async () => (await status()) === 'parked-full', { what: 'it has stopped' });
  expect(await relaying.parkedFor('deaf')).toHaveLength(21);
  expect(await relaying.waitingFor('deaf')).toBe(600);
  deaf = false;
  await requestRedrive(relaying.database.db, 'relay/deaf', null);
  await relaying.emptied('deaf');
  await relay.stop();
  expect(relay.errors).toEqual([]);
  expect(await relaying.parkedFor('deaf')).toEqual([]);
  const offsets = new Map<string, number>();
  for (const { entity, offset } of published) {
    expect(offset).toBeGreaterThan(offsets.get(entity) ?? 0);
    offsets.set(entity, offset);
  }
  expect(published).toHaveLength(600);
});

test('a sink that stopped at its only bad message goes on once that is skipped', async () => {
  await addSink(relaying.database.db, row('picky'));
  await relaying.commitAll([...many('picky', 1), ...many('picky', 1)]);
  const published: string[] = [];
  const open = made(({ body }) => {
    const { type } = JSON.parse(body) as { type: string };
    if (published.length === 0 && type !== 'reprise.skipped') return Promise.reject(new MessageRefused('no'));
    published.push(type);
    return Promise.resolve();
  });
  const relay = relaying.relayTo('picky', open, 0);
  const status = async () => (await relaying.statusOf('picky'))?.status;
  await until(async () => (await status()) === 'parked-full', { what: 'it has stopped' });
  const skip = { consumer: 'relay/picky', entity: 'counter/picky-0', reason: 'known', actor: 'test' };
  expect(await skipParked(relaying.database.db, skip)).toBe(true);
  await relaying.emptied('picky');
  await relay.stop();
  expect(published).toEqual(['reprise.skipped', 'counter.added']);
});

const where = (kind: string) => (required('REPRISE_TEST_BROKERS').split(',').includes(kind) ? describe : describe.skip);

where('kafka')('a Kafka that takes less than its sink believes', () => {
  let kafka: Awaited<ReturnType<typeof startKafka>>;
  beforeAll(async () => {
    kafka = await startKafka();
  }, 240_000);
  afterAll(() => kafka.stop());

  const busOn = async () => {
    const { row, ...bus } = kafkaBus(kafka.brokers);
    const trusting = { ...bus, row: { ...row, options: { ...row.options, bytesMax: 100_000_000 } } };
    await addSink(relaying.database.db, trusting.row);
    return trusting;
  };
  const tooLarge = { note: 'x'.repeat(1_200_000) };

  test('invariant 16: what the broker refuses is parked, also when nothing else is under way', async () => {
    const bus = await busOn();
    await relaying.commitAll([counterCommand('k-alone', tooLarge)]);
    const relay = relaying.startRelay(bus);
    const [parked] = await until(
      async () => {
        const found = await relaying.parkedFor(bus.row.sink);
        return found.length > 0 && found;
      },
      { what: 'it is parked' },
    );
    await relay.stop();
    expect(parked).toMatchObject({
      entity_id: 'k-alone',
      error: expect.stringMatching(/larger than the max message size/) as string,
    });
    expect(relay.errors).toEqual([]);
    await removeSink(relaying.database.db, bus.row.sink);
  });

  test('its neighbours in the same request are all there, and so is what comes after', async () => {
    const bus = await busOn();
    const neighbours = Array.from({ length: 40 }, (_, n) => `k-${n}`);
    const all = () => neighbours.map((id) => counterCommand(id));
    await relaying.commitAll([...all(), counterCommand('k-bad', tooLarge), ...all()]);
    const relay = relaying.startRelay(bus);
    const left = (count: number) => async () => (await relaying.waitingFor(bus.row.sink)) === count;
    await until(left(1), { what: 'only the poison waits' });
    await relaying.commitAll([...all(), ...all()]);
    await until(left(1), { what: 'only the poison waits again' });
    await relay.stop();
    expect(relay.errors).toEqual([]);
    expect(await relaying.parkedFor(bus.row.sink)).toMatchObject([{ entity_id: 'k-bad' }]);
    const versions = new Map<string, number[]>();
    for (const { partitionkey, entityversion } of await bus.readAll()) {
      const seen = versions.get(partitionkey) ?? [];
      if (!seen.includes(entityversion)) seen.push(entityversion);
      versions.set(partitionkey, seen);
    }
    expect(Object.fromEntries(versions)).toEqual(
      Object.fromEntries(neighbours.map((id) => [`counter/${id}`, [1, 2, 3, 4]])),
    );
    await removeSink(relaying.database.db, bus.row.sink);
  });
});

test('what is doubtful about a broker is in its row, also what is found later, until a relay finds it no more', async () => {
  await addSink(relaying.database.db, row('doubtful'));
  const warnings = ['kept in memory'];
  const sink: Sink = {
    warnings,
    publish: async ({ topic }) => void warnings.push(`nobody listens to ${topic}`),
    close: () => Promise.resolve(),
  };
  const told = async () => (await relaying.statusOf('doubtful'))?.warnings.join();
  const relay = relaying.relayTo('doubtful', () => Promise.resolve(sink));
  await until(async () => (await told()) === 'kept in memory', { what: 'it is told' });
  await relaying.commitAll(many('doubtful', 1));
  await until(async () => (await told()) === 'kept in memory,nobody listens to counter.added', { what: 'both are' });
  await relay.stop();
  expect(relay.errors).toEqual([]);
  expect((await readFigures(relaying.database.db)).outbox).toContainEqual(
    expect.objectContaining({ sink: 'doubtful', warnings: 2 }),
  );
  expect(await checkSinks(relaying.database.db)).toContainEqual({
    check: 'sink doubtful',
    status: 'warn',
    found: 'running, 0 waiting; kept in memory; nobody listens to counter.added',
    next: expect.stringMatching(/sync_interval: always/) as string,
  });
  const healed = relaying.relayTo(
    'doubtful',
    made(() => Promise.resolve()),
  );
  await until(async () => (await told()) === '', { what: 'it is taken back' });
  await healed.stop();
  await removeSink(relaying.database.db, 'doubtful');
});

test('a round is bounded in bytes too: of a partition, and over all, and one message is always in it', async () => {
  await addSink(relaying.database.db, row('heavy'));
  const note = () => randomBytes(150_000).toString('hex'); // does not compress
  await relaying.commitAll(Array.from({ length: 12 }, () => counterCommand('heavy', { note: note() })));
  const { rows } = await relaying.database.db.query<{ partition: number }>(
    `select distinct partition from reprise.outbox where sink = 'heavy'`,
  );
  const cursor = new Map(rows.map(({ partition }): [number, number] => [partition, 0]));
  const versions = async (bytes: number, parked: readonly string[] = []) =>
    (await readNext(relaying.database.db, 'heavy', { cursor, parked, limits: { messages: 2_000, bytes } })).map(
      ({ body }) => (JSON.parse(body) as { entityversion: number }).entityversion,
    );
  expect(await versions(16_000_000)).toHaveLength(12);
  expect(await versions(700_000)).toEqual([1, 2, 3]);
  expect(await versions(1)).toEqual([1]);
  expect(await versions(700_000, ['counter/other'])).toEqual([1, 2, 3]);
  expect(await versions(700_000, ['counter/heavy'])).toEqual([]);
  const published: number[] = [];
  const relay = relaying.relayTo(
    'heavy',
    made(({ body }) => {
      published.push((JSON.parse(body) as { entityversion: number }).entityversion);
      return Promise.resolve();
    }),
  );
  await relaying.emptied('heavy');
  await relay.stop();
  expect(published).toEqual(Array.from({ length: 12 }, (_, n) => n + 1));
  await removeSink(relaying.database.db, 'heavy');
});

where('rabbitmq')('a RabbitMQ that refuses, and one where nobody listens', () => {
  const url = required('REPRISE_TEST_AMQP_URL');
  // max_message_size of RabbitMQ 3; 4 has 16 MiB, and refuses it as well.
  const TOO_LARGE = 128 * 1024 * 1024 + 1;
  const message = (entityId: string, body: string, topic = 'counter.added'): OutboxMessage => ({
    ...{ partition: 0, offset: 1, eventId: randomUUID(), topic, key: entityId, entity: `counter/${entityId}` },
    body,
  });

  test('invariant 16: what it closes the channel for is refused, and its neighbours go on', async () => {
    const bus = await rabbitBus(url);
    const sink = await openRabbitMq({ url, exchange: bus.row.sink, bytesMax: 2 * TOO_LARGE });
    const neighbours = Array.from({ length: 20 }, (_, n) =>
      sink.publish(message(`n-${n}`, JSON.stringify({ id: `${n}` }))),
    );
    const refused = sink.publish(message('bad', 'x'.repeat(TOO_LARGE))).catch((error: unknown) => error);
    const behind = Array.from({ length: 20 }, (_, n) =>
      sink.publish(message(`b-${n}`, JSON.stringify({ id: `b${n}` }))),
    );
    await Promise.all([...neighbours, ...behind]);
    expect(await refused).toBeInstanceOf(MessageRefused);
    expect(String(await refused)).toMatch(/message size \d+.* larger than/);
    await sink.publish(message('after', JSON.stringify({ id: 'after' })));
    const there = new Set((await bus.readAll()).map(({ id }) => id));
    expect(there.size).toBe(41);
    await sink.close();
    await bus.close();
  });

  test('an exchange that cannot be had leaves no connection behind', async () => {
    const proxy = await Proxy.to(Number(new URL(url).port || 5672));
    const through = new URL(url);
    through.host = `127.0.0.1:${proxy.port}`;
    const exchange = `t${randomUUID()}`;
    const connection = await connectRabbit(url);
    const channel = await connection.createChannel();
    await channel.assertExchange(exchange, 'fanout', { durable: false });
    for (let n = 0; n < 3; n++) {
      await expect(openRabbitMq({ url: through.toString(), exchange })).rejects.toThrow(/PRECONDITION_FAILED/);
    }
    await until(() => proxy.open === 0, { what: 'all of its connections are closed' });
    await channel.deleteExchange(exchange);
    await channel.deleteExchange(`${exchange}.by-entity`);
    await connection.close();
    await proxy.close();
  });

  test('messages that no queue is bound for are told of, once per type', async () => {
    const exchange = `t${randomUUID()}`;
    const sink = await openRabbitMq({ url, exchange });
    const topics = ['counter.added', 'counter.added', 'counter.reset'];
    await Promise.all(topics.map((topic, n) => sink.publish(message(`u-${n}`, '{}', topic))));
    expect(sink.warnings).toEqual([
      `no queue is bound to exchange ${exchange} for counter.added: RabbitMQ drops such messages`,
      `no queue is bound to exchange ${exchange} for counter.reset: RabbitMQ drops such messages`,
    ]);
    await sink.close();
    const connection = await connectRabbit(url);
    const channel = await connection.createChannel();
    await channel.deleteExchange(exchange);
    await channel.deleteExchange(`${exchange}.by-entity`);
    await connection.close();
  });
});

where('nats')('a NATS whose limit is raised', () => {
  test('takes what it refused once that is redriven, and its relay need not be started again', async () => {
    const nats = await OwnNats.open({ max_payload: 10_000 });
    const bus = natsBus(nats.url);
    const name = bus.row.sink;
    await addSink(relaying.database.db, bus.row);
    await relaying.commitAll([counterCommand('nats-big', { note: 'x'.repeat(50_000) }), counterCommand('nats-big')]);
    const relay = relaying.startRelay(bus);
    const parked = async () => (await relaying.parkedFor(name)).length;
    await until(async () => (await parked()) === 1, { what: 'it is parked' });
    expect((await relaying.parkedFor(name))[0]?.error).toMatch(/NATS takes 10000: raise its limit and redrive/);
    nats.reconfigure({ max_payload: 1_000_000 });
    await until(
      async () => {
        if ((await parked()) > 0) await requestRedrive(relaying.database.db, `relay/${name}`, null);
        return (await relaying.waitingFor(name)) === 0;
      },
      { what: 'it goes on' },
    );
    await relay.stop();
    expect(relay.errors).toEqual([]);
    expect((await bus.readAll()).map(({ entityversion }) => entityversion)).toEqual([1, 2]);
    await removeSink(relaying.database.db, name);
    await nats.close();
  });
});
