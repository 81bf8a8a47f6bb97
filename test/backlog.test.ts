import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { relayOutbox } from '../activities/relay';
import { openPool } from '../db/pool';
import { addSink, readSinkStatus } from '../db/sinks';
import { listenForWakes } from '../db/wake';
import { openSink } from '../relay/open-sink';
import { natsBus, OwnNats, type OnTheBus } from './support/brokers';
import { startChild } from './support/child';
import { testDatabase, type TestDatabase } from './support/system';
import { until } from './support/until';
import { testWith } from './support/with-broker';

const MESSAGES = 100_000;
const ENTITIES = 10_000;

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase();
});
afterAll(() => database.drop());

/** A backlog as commits make it: every event of `ENTITIES` entities, ten each, in 64 partitions. */
async function fill(sink: string): Promise<void> {
  await database.db.query(
    `insert into reprise.outbox (sink, partition, "offset", event_id, topic, key, message, created_at)
     select $1::text, (n % $2::integer) % 64, n + 1, gen_random_uuid(), 'counter.added', (n % $2::integer)::text,
            jsonb_build_object('specversion', '1.0', 'source', '/reprise/counter', 'type', 'counter.added',
              'subject', (n % $2::integer)::text, 'time', clock_timestamp(), 'partitionkey', 'counter/' || (n % $2::integer),
              'entityversion', n / $2::integer + 1, 'previousversion', n / $2::integer, 'data', jsonb_build_object('by', n)),
            clock_timestamp()
     from generate_series(0, $3::integer - 1) as n`,
    [sink, ENTITIES, MESSAGES],
  );
  await database.db.query(`update reprise.outbox set message = message || jsonb_build_object('id', event_id)`);
}

async function readAll(url: string, stream: string): Promise<OnTheBus[]> {
  const connection = await connect({ servers: url });
  const manager = await jetstreamManager(connection);
  const total = (await manager.streams.info(stream)).state.messages;
  const consumer = await jetstream(connection).consumers.get(stream);
  const found: OnTheBus[] = [];
  if (total > 0) {
    for await (const message of await consumer.consume({ max_messages: 5_000 })) {
      found.push(message.json<OnTheBus>());
      if (found.length === total) break;
    }
  }
  await connection.close();
  return found;
}

testWith('nats')(
  'invariants 7 and 9: 100,000 messages wait, the relay is killed twice, and all of them arrive in order',
  async () => {
    const nats = await OwnNats.open();
    const bus = natsBus(nats.url);
    const { sink } = bus.row;
    await addSink(database.db, bus.row);
    await fill(sink);
    const waiting = async () => (await readSinkStatus(database.db)).find((one) => one.sink === sink)?.waiting ?? -1;

    for (const below of [80_000, 50_000]) {
      const child = startChild('relay-child.ts', {
        CHILD_DATABASE_URL: database.urlOf('relay'),
        CHILD_SINK: JSON.stringify(bus.row),
        NATS_URL: nats.url,
      });
      await until(async () => (await waiting()) < below, { what: `fewer than ${below} wait`, withinMs: 60_000 });
      await child.kill();
    }
    expect(await waiting()).toBeGreaterThan(0);

    const url = database.urlOf('relay');
    const db = openPool({ url, max: 3, applicationName: 'test' });
    const abort = new AbortController();
    const wakes = listenForWakes(url);
    const open = () => openSink(bus.row, bus.env);
    const running = relayOutbox(sink, { db, wakes, heartbeat: () => undefined, signal: abort.signal, open });
    await until(async () => (await waiting()) === 0, { what: 'the outbox is empty', withinMs: 60_000 });
    abort.abort();
    await running;
    await wakes.close();
    await db.end();

    const last = new Map<string, number>();
    const seen = new Set<string>();
    for (const { id, partitionkey, entityversion } of await readAll(nats.url, sink)) {
      if (seen.has(id)) continue; // a repeat, of a version seen already
      seen.add(id);
      if (entityversion !== (last.get(partitionkey) ?? 0) + 1) throw new Error(`${partitionkey} out of order`);
      last.set(partitionkey, entityversion);
    }
    expect(seen.size).toBe(MESSAGES);
    await nats.close();
  },
  240_000,
);
