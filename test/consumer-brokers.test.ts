import { randomBytes } from 'node:crypto';
import { AckPolicy, jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect as connectNats } from '@nats-io/transport-node';
import { connect as connectRabbit } from 'amqplib';
import { Kafka, logLevel } from 'kafkajs';
import { relayOutbox } from '../activities/relay';
import { makeCommit } from '../activities/commit';
import { parseEnvelope } from '../contracts/envelope';
import { makeInbox, type Inbox } from '../consumer/inbox';
import { openPool } from '../db/pool';
import { addSink, readSinkStatus } from '../db/sinks';
import { listenForWakes } from '../db/wake';
import { openSink } from '../relay/open-sink';
import { natsBus, OwnNats, rabbitBus, type Bus } from './support/brokers';
import { counterCommand, counters } from './support/counters';
import { kafkaBus, startKafka } from './support/kafka';
import { required, testDatabase, type TestDatabase } from './support/system';
import { until } from './support/until';
import { testWith } from './support/with-broker';

let database: TestDatabase;
let service: ReturnType<typeof openPool>;
const closing: (() => unknown)[] = [];

beforeAll(async () => {
  database = await testDatabase();
  service = openPool({ url: database.url, max: 4, applicationName: 'test-service' });
  await service.query('create table tally (broker text, subject text, n integer, primary key (broker, subject))');
});
afterAll(async () => {
  for (const close of closing.reverse()) await close();
  await service.end();
  await database.drop();
});

type Handle = (body: Uint8Array) => Promise<unknown>;

/** The loops of docs/consumer.md, each with its broker's own client. Answers how to end it. */
const LOOPS: Record<
  string,
  { open: () => Promise<Bus>; consume: (bus: Bus, handle: Handle) => Promise<() => unknown> }
> = {
  nats: {
    open: async () => {
      const nats = await OwnNats.open();
      closing.push(() => nats.close());
      return natsBus(nats.url);
    },
    consume: async (bus, handle) => {
      const connection = await connectNats({ servers: bus.env['NATS_URL'] ?? '' });
      const stream = bus.row.sink;
      const manager = await jetstreamManager(connection);
      await manager.consumers.add(stream, { durable_name: 'billing', ack_policy: AckPolicy.Explicit });
      const messages = await (await jetstream(connection).consumers.get(stream, 'billing')).consume();
      void (async () => {
        for await (const message of messages) {
          await handle(message.data).then(
            () => message.ack(),
            () => message.nak(50),
          );
        }
      })();
      return () => connection.close();
    },
  },
  rabbitmq: {
    open: () => rabbitBus(required('REPRISE_TEST_AMQP_URL')),
    consume: async (bus, handle) => {
      const connection = await connectRabbit(bus.env['AMQP_URL'] ?? '');
      const channel = await connection.createChannel();
      await channel.prefetch(1);
      await channel.consume(bus.row.sink, (message) => {
        if (!message) return;
        void handle(message.content).then(
          () => channel.ack(message),
          () => channel.nack(message),
        );
      });
      return () => connection.close();
    },
  },
  kafka: {
    open: async () => {
      const kafka = await startKafka();
      closing.push(() => kafka.stop());
      return kafkaBus(kafka.brokers);
    },
    consume: async (bus, handle) => {
      const kafka = new Kafka({ brokers: [bus.env['KAFKA_BROKERS'] ?? ''], logLevel: logLevel.NOTHING });
      const consumer = kafka.consumer({ groupId: `billing-${randomBytes(4).toString('hex')}` });
      await consumer.connect();
      await consumer.subscribe({ topic: `${bus.row.sink}.counter`, fromBeginning: true });
      await consumer.run({
        eachMessage: async ({ message }) => {
          if (message.value) await handle(message.value);
        },
      });
      return () => consumer.disconnect();
    },
  },
};

async function relayAll(bus: Bus): Promise<void> {
  const url = database.urlOf('relay');
  const db = openPool({ url, max: 3, applicationName: 'test' });
  const abort = new AbortController();
  const wakes = listenForWakes(url);
  const open = () => openSink(bus.row, bus.env);
  const running = relayOutbox(bus.row.sink, { db, wakes, heartbeat: () => undefined, signal: abort.signal, open });
  const waiting = async () => (await readSinkStatus(database.db)).find(({ sink }) => sink === bus.row.sink)?.waiting;
  await until(async () => (await waiting()) === 0, { what: 'the outbox is empty' });
  abort.abort();
  await running;
  await wakes.close();
  await db.end();
}

for (const [kind, { open, consume }] of Object.entries(LOOPS))
  testWith(kind)(
    `invariant 10: fed by ${kind}'s own consumer, with handlers that fail and everything published twice, counts are right`,
    async () => {
      const bus = await open();
      closing.push(() => bus.close());
      await addSink(database.db, bus.row);
      const db = openPool({ url: database.urlOf('commit'), max: 4, applicationName: 'test' });
      const commit = makeCommit({ db, model: counters, partitions: 64, wake: () => undefined });
      const commands = Array.from({ length: 120 }, (_, n) => counterCommand(`${kind}-${n % 12}`, { by: n }));
      await commit(commands);
      await db.end();
      const { rows: again } = await database.db.query<Record<string, unknown>>(
        'select * from reprise.outbox where sink = $1 order by partition, "offset"',
        [bus.row.sink],
      );
      await relayAll(bus);

      const inbox: Inbox = makeInbox({ db: service, consumer: kind });
      await inbox.prepare();
      let failures = 0;
      const end = await consume(bus, (body) =>
        inbox.handle(parseEnvelope(body), async (tx, { subject, entityversion }) => {
          await tx.query(
            'insert into tally values ($1, $2, 1) on conflict (broker, subject) do update set n = tally.n + 1',
            [kind, subject],
          );
          if (entityversion === 5 && failures < 6) {
            failures += 1;
            throw new Error('not this time');
          }
        }),
      );
      const counted = async () => {
        const { rows } = await service.query<{ n: number }>(
          'select coalesce(sum(n), 0)::integer as n from tally where broker = $1',
          [kind],
        );
        return rows[0]?.n ?? 0;
      };
      await until(async () => (await counted()) === 120, { what: 'everything is counted', withinMs: 60_000 });

      // A relay that crashed before it removed its rows publishes them again (NATS itself drops them for ten minutes).
      for (const row of again) {
        await database.db.query(
          `insert into reprise.outbox (sink, partition, "offset", event_id, topic, key, message, created_at)
           values ($1, $2, $3, $4, $5, $6, $7, now())`,
          [row['sink'], row['partition'], row['offset'], row['event_id'], row['topic'], row['key'], row['message']],
        );
      }
      await relayAll(bus);
      const marker = counterCommand(`${kind}-marker`, { by: 1 });
      const pool = openPool({ url: database.urlOf('commit'), max: 1, applicationName: 'test' });
      await makeCommit({ db: pool, model: counters, partitions: 64, wake: () => undefined })([marker]);
      await pool.end();
      await relayAll(bus);
      await until(async () => (await counted()) === 121, { what: 'what came after the repeats is counted' });
      const { rows } = await service.query<{ n: number }>('select n from tally where broker = $1 and subject <> $2', [
        kind,
        `${kind}-marker`,
      ]);
      expect(rows.map(({ n }) => n)).toEqual(Array.from({ length: 12 }, () => 10));
      expect(failures).toBe(6);
      await end();
    },
    180_000,
  );
