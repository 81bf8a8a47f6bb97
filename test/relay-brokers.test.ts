import { randomUUID } from 'node:crypto';
import { inspect } from 'node:util';
import { connect as connectRabbit } from 'amqplib';
import { requestRedrive } from '../db/parked';
import { addSink, removeSink } from '../db/sinks';
import { openSink } from '../relay/open-sink';
import { MessageRefused, type OutboxMessage } from '../relay/sink';
import { openRabbitMq } from '../relay/sinks/rabbitmq';
import { natsBus, OwnNats, rabbitBus } from './support/brokers';
import { Proxy } from './support/proxy';
import { counterCommand } from './support/counters';
import { kafkaBus, startKafka } from './support/kafka';
import { openRelaying, type Relaying } from './support/relaying';
import { required } from './support/system';
import { until } from './support/until';
import { describeWith } from './support/with-broker';

let relaying: Relaying;
beforeAll(async () => {
  relaying = await openRelaying();
});
afterAll(() => relaying.close());

const row = (sink: string) => ({ sink, kind: 'nats' as const, options: {} });
const many = (name: string, count: number) => Array.from({ length: count }, (_, n) => counterCommand(`${name}-${n}`));

describeWith('kafka')('a Kafka that takes less than its sink believes', () => {
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

describeWith('rabbitmq')('a RabbitMQ that refuses, and one where nobody listens', () => {
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

  test('a queue that is full holds messages back and parks nobody, though others are taken; with room it goes on', async () => {
    const bus = await rabbitBus(url);
    const { sink: exchange } = bus.row;
    const connection = await connectRabbit(url);
    const channel = await connection.createChannel();
    const full = { 'x-max-length': 1, 'x-overflow': 'reject-publish' };
    await channel.assertQueue(`${exchange}-full`, { durable: true, arguments: full });
    await channel.bindQueue(`${exchange}-full`, exchange, 'counter.reset');
    await addSink(relaying.database.db, bus.row);
    const toFull = (one: OutboxMessage) => (one.key.startsWith('full') ? { ...one, topic: 'counter.reset' } : one);
    const open = async () => {
      const sink = await openSink(bus.row, bus.env);
      return { ...sink, publish: (one: OutboxMessage) => sink.publish(toFull(one)) };
    };
    const beside = () => Array.from({ length: 30 }, () => counterCommand('beside'));
    await relaying.commitAll([...many('full', 4), ...many('full', 4), ...beside()]);
    const relay = relaying.relayTo(exchange, open);
    await until(() => relay.errors.length > 0, { what: 'the relay finds it full' });
    await relaying.commitAll(beside()); // others get through meanwhile
    const before = relay.errors.length;
    await until(() => relay.errors.length > before + 1, { what: 'it has tried again' });
    expect(await relaying.parkedFor(exchange)).toEqual([]);
    expect(String(relay.errors.at(-1))).toMatch(/SinkUnavailable: RabbitMQ: /);
    await channel.deleteQueue(`${exchange}-full`);
    await relaying.emptied(exchange);
    await relay.stop();
    const versions = new Map<string, number>();
    for (const { partitionkey, entityversion } of await bus.readAll()) {
      const last = versions.get(partitionkey) ?? 0;
      if (entityversion > last) expect(entityversion).toBe(last + 1);
      versions.set(partitionkey, Math.max(last, entityversion));
    }
    expect([...versions.values()].reduce((sum, version) => sum + version, 0)).toBe(68);
    await removeSink(relaying.database.db, exchange);
    await connection.close();
    await bus.close();
  }, 60_000);

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

describeWith('nats')('the address of a NATS', () => {
  const openAt = (url: string) => openSink(row('address'), { NATS_URL: url });

  test('holds a name and password, or a token, with or without its scheme', async () => {
    for (const [authorization, login] of [
      ['{ token: "a%b" }', 'a%25b'],
      ['{ user: "me", password: "a@b" }', 'me:a%40b'],
    ] as const) {
      const nats = await OwnNats.open({ authorization });
      for (const scheme of ['nats://', '']) await (await openAt(`${scheme}${login}@127.0.0.1:${nats.port}`)).close();
      await expect(openAt(nats.url)).rejects.toThrow(/[Aa]uthorization/);
      await nats.close();
    }
  });

  test.each(['nats://me:sesame@[1', 'nats://me:sesame%@127.0.0.1:1', 'nats://me:sesame@127.0.0.1:1'])(
    'is not echoed when it leads nowhere: %#',
    async (url) => {
      const error: unknown = await openAt(url).catch((failure: unknown) => failure);
      expect(String(error)).toMatch(/Error: (NATS_URL is no address|connection refused)/);
      expect(inspect(error, { depth: 9, showHidden: true })).not.toContain('sesame');
    },
  );
});

describeWith('nats')('a NATS whose limit is raised', () => {
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
