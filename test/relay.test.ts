import { jetstreamManager } from '@nats-io/jetstream';
import { connect as connectNats } from '@nats-io/transport-node';
import { Client, types, type Pool } from 'pg';
import { makeCommit } from '../activities/commit';
import { parseEnvelope } from '../contracts/envelope';
import { makeInbox } from '../consumer/inbox';
import type { CommandMessage } from '../contracts/message';
import { addSink, removeSink } from '../db/sinks';
import { natsBus, OwnNats, rabbitBus, type Bus, type OnTheBus } from './support/brokers';
import { Proxy } from './support/proxy';
import { startChild } from './support/child';
import { counterCommand, counters } from './support/counters';
import { kafkaBus, startKafka } from './support/kafka';
import { openRelaying, type Relaying } from './support/relaying';
import { required, type TestDatabase } from './support/system';
import { until } from './support/until';

let relaying: Relaying;
let database: TestDatabase;
const closing: (() => unknown)[] = [];

beforeAll(async () => {
  relaying = await openRelaying();
  database = relaying.database;
});
afterAll(async () => {
  for (const close of closing.reverse()) await close();
  await relaying.close();
});

const startRelay: Relaying['startRelay'] = (...args) => relaying.startRelay(...args);
const commitAll: Relaying['commitAll'] = (...args) => relaying.commitAll(...args);
const waitingFor = ({ row }: Bus) => relaying.waitingFor(row.sink);
const emptied = ({ row }: Bus) => relaying.emptied(row.sink);
const parkedFor = ({ row }: Bus) => relaying.parkedFor(row.sink);

const rounds = (name: string, entities: number, each: number): CommandMessage[] =>
  Array.from({ length: each * entities }, (_, n) => {
    const id = `${name}-${n % entities}`;
    return n % 7 === 3 ? counterCommand(id, {}, 'hide') : counterCommand(id, { by: n });
  });

/** Everything that the log says should be on the bus is there, as it is in the log, and in each entity's order. */
async function expectWhole(name: string, found: readonly OnTheBus[]): Promise<void> {
  const { rows } = await database.db.query<{
    event_id: string;
    entity_id: string;
    version: number;
    published_after: number;
    data: unknown;
  }>(
    `select event_id, entity_id, version, published_after, data from reprise.events
     where starts_with(entity_id, $1) and published_after is not null order by entity_id, version`,
    [`${name}-`],
  );
  expect(rows.length).toBeGreaterThan(0);
  const firsts = new Map<string, OnTheBus>();
  const last = new Map<string, number>();
  for (const message of found) {
    const before = last.get(message.partitionkey) ?? 0;
    if (firsts.has(message.id)) continue; // a repeat, of a version seen already
    expect(message.entityversion).toBeGreaterThan(before);
    expect(message.previousversion).toBe(before);
    last.set(message.partitionkey, message.entityversion);
    firsts.set(message.id, message);
  }
  expect(firsts.size).toBe(rows.length);
  for (const row of rows) {
    expect(firsts.get(row.event_id)).toMatchObject({
      partitionkey: `counter/${row.entity_id}`,
      entityversion: row.version,
      previousversion: row.published_after,
      data: row.data,
    });
  }
}

/** Invariant 10: a consumer with the kit that gets everything twice counts as the log does. */
async function expectCountedOnce(name: string, found: readonly OnTheBus[]): Promise<void> {
  const inbox = makeInbox({ db: database.db, consumer: name });
  await inbox.prepare();
  const counts = new Map<string, number>();
  for (const message of [...found, ...found]) {
    await inbox.handle(parseEnvelope(JSON.stringify(message)), (_tx, { subject }) => {
      counts.set(subject, (counts.get(subject) ?? 0) + 1);
      return Promise.resolve();
    });
  }
  const { rows } = await database.db.query<{ entity_id: string; events: number }>(
    `select entity_id, count(*) as events from reprise.events
     where starts_with(entity_id, $1) and published_after is not null group by entity_id`,
    [`${name}-`],
  );
  expect(Object.fromEntries(counts)).toEqual(Object.fromEntries(rows.map((row) => [row.entity_id, row.events])));
}

const BUSES: Record<string, () => Promise<Bus>> = {
  nats: async () => {
    const nats = await OwnNats.open();
    closing.push(() => nats.close());
    return natsBus(nats.url);
  },
  rabbitmq: () => rabbitBus(required('REPRISE_TEST_AMQP_URL')),
  kafka: async () => {
    const kafka = await startKafka();
    closing.push(() => kafka.stop());
    return kafkaBus(kafka.brokers);
  },
};

const where = (kind: string) => (required('REPRISE_TEST_BROKERS').split(',').includes(kind) ? describe : describe.skip);

for (const kind of Object.keys(BUSES))
  where(kind)(`to ${kind}`, () => {
    let bus: Bus;
    beforeAll(async () => {
      bus = await (BUSES[kind] as () => Promise<Bus>)();
    }, 240_000);
    afterAll(() => bus.close());

    async function withSink(work: (bus: Bus) => Promise<void>): Promise<void> {
      await addSink(database.db, bus.row);
      try {
        await work(bus);
      } finally {
        await removeSink(database.db, bus.row.sink);
      }
    }

    test('invariants 7, 8, 9 and 10: what was committed is on the bus, as in the log, in order, and a consumer counts it once', () =>
      withSink(async (open) => {
        const name = `whole-${kind}`;
        await commitAll(rounds(name, 40, 10));
        const relay = startRelay(open);
        await commitAll(rounds(name, 40, 10));
        await emptied(open);
        await relay.stop();
        expect(relay.errors).toEqual([]);
        const found = await open.readAll();
        await expectWhole(name, found);
        await expectCountedOnce(name, found);
      }));

    test('invariant 16: a message too large for the broker holds back its entity only, until it is skipped', () =>
      withSink(async (open) => {
        const name = `large-${kind}`;
        await commitAll([
          counterCommand(`${name}-big`, { by: 1 }),
          counterCommand(`${name}-big`, { by: 2, note: 'x'.repeat(1_100_000) }),
          counterCommand(`${name}-big`, { by: 3 }),
          ...rounds(name, 10, 3),
        ]);
        const relay = startRelay(open);
        await until(async () => (await waitingFor(open)) === 2, { what: 'all but the poison and what follows it' });
        const [parked] = await parkedFor(open);
        expect(parked?.entity_id).toBe(`${name}-big`);
        expect(parked?.error).toMatch(/the message has 11\d{5} bytes, (NATS|RabbitMQ|Kafka) takes \d+/);
        await database.db.query(`insert into reprise.skips values ($1, $2, 'too large for the bus', 'test')`, [
          `relay/${open.row.sink}`,
          parked?.event_id,
        ]);
        await database.db.query(`update reprise.parked set redrive = true where consumer = $1`, [
          `relay/${open.row.sink}`,
        ]);
        await emptied(open);
        await relay.stop();
        const found = (await open.readAll()).filter(({ partitionkey }) => partitionkey === `counter/${name}-big`);
        expect(found.map(({ type, entityversion }) => [type, entityversion])).toEqual([
          ['counter.added', 1],
          ['reprise.skipped', 2],
          ['counter.added', 3],
        ]);
        expect(await parkedFor(open)).toEqual([]);
      }));

    test('a sink that is paused publishes nothing, and goes on when it may', () =>
      withSink(async (open) => {
        const set = (status: string) =>
          database.db.query(`update reprise.checkpoints set status = $2 where consumer = $1`, [
            `relay/${open.row.sink}`,
            status,
          ]);
        await set('paused');
        await commitAll(rounds('paused', 5, 1));
        const relay = startRelay(open);
        await until(async () => (await ownerOf(open)) > 0, { what: 'the relay is up' });
        expect(await waitingFor(open)).toBeGreaterThan(0);
        await set('running');
        await emptied(open);
        await relay.stop();
      }));
  });

const ownerOf = async (bus: Bus): Promise<number> =>
  (
    await database.db.query<{ epoch: number }>(
      'select max(epoch) as epoch from reprise.checkpoints where consumer = $1',
      [`relay/${bus.row.sink}`],
    )
  ).rows[0]?.epoch ?? 0;

where('nats')('a NATS that fails', () => {
  let nats: OwnNats;
  beforeEach(async () => {
    nats = await OwnNats.open();
  });
  afterEach(() => nats.close());

  const sinkOn = async (url: string, options: Record<string, string> = {}): Promise<Bus> => {
    const bus = natsBus(url, options);
    await addSink(database.db, bus.row);
    return bus;
  };

  test('invariant 7: killed in the middle of a batch and started again, it has everything, in order', async () => {
    const bus = await sinkOn(nats.url);
    await commitAll(rounds('killed', 200, 20));
    const relay = startRelay(bus);
    await until(async () => ((await waitingFor(bus)) ?? 0) < 3_000, { what: 'the relay is in the middle' });
    await nats.kill();
    await commitAll(rounds('killed', 200, 2)); // however far it was, there is something it cannot publish now
    await until(() => relay.errors.length > 0, { what: 'the relay sees it', withinMs: 60_000 });
    await nats.start();
    await emptied(bus);
    await relay.stop();
    expect(await parkedFor(bus)).toEqual([]);
    await expectWhole('killed', await bus.readAll());
    await removeSink(database.db, bus.row.sink);
  }, 120_000);

  test('a stream that is full stops the relay and parks nobody; with room it goes on', async () => {
    const bus = await sinkOn(nats.url);
    const connection = await connectNats({ servers: nats.url });
    const manager = await jetstreamManager(connection);
    const name = bus.row.sink;
    await manager.streams.add({ name, subjects: [`${name}.>`], max_bytes: 20_000, discard: 'new' });
    await commitAll(rounds('full', 50, 4));
    const relay = startRelay(bus);
    await until(() => relay.errors.length > 0 || null, { what: 'the relay finds it full' });
    expect(String(relay.errors[0])).toMatch(/maximum bytes exceeded/);
    await manager.streams.update(name, { max_bytes: 10_000_000 });
    await emptied(bus);
    await relay.stop();
    await connection.close();
    expect(await parkedFor(bus)).toEqual([]);
    await expectWhole('full', await bus.readAll());
    await removeSink(database.db, name);
  }, 60_000);
});

/** Those that can be cut off, with the way to them through another port. */
const REACHED: Record<
  string,
  () => Promise<{ port: number; open: () => Promise<Bus>; through: (port: number) => NodeJS.ProcessEnv }>
> = {
  nats: async () => {
    const nats = await OwnNats.open();
    closing.push(() => nats.close());
    const through = (port: number) => ({ NATS_URL: `nats://127.0.0.1:${port}` });
    return { port: nats.port, open: () => Promise.resolve(natsBus(nats.url)), through };
  },
  rabbitmq: () => {
    const url = new URL(required('REPRISE_TEST_AMQP_URL'));
    const through = (port: number) => {
      const other = new URL(url);
      other.host = `127.0.0.1:${port}`;
      return { AMQP_URL: other.toString() };
    };
    return Promise.resolve({ port: Number(url.port || 5672), open: () => rabbitBus(url.toString()), through });
  },
};

for (const kind of Object.keys(REACHED))
  where(kind)(`on the way to ${kind}`, () => {
    let port: number;
    let open: () => Promise<Bus>;
    let through: (port: number) => NodeJS.ProcessEnv;
    beforeAll(async () => {
      ({ port, open, through } = await (REACHED[kind] as (typeof REACHED)[string])());
    });

    const added = async (): Promise<Bus> => {
      const bus = await open();
      await addSink(database.db, bus.row);
      return bus;
    };

    test('invariant 9: acknowledgements that are cut are repeats, in order, and no message is to blame', async () => {
      const proxy = await Proxy.to(port);
      const bus = await added();
      await commitAll(rounds(`cut-${kind}`, 100, 5));
      const relay = startRelay(bus, through(proxy.port));
      await until(async () => ((await waitingFor(bus)) ?? 0) < 420, { what: 'some are through' });
      proxy.swallow();
      await commitAll(rounds(`cut-${kind}`, 100, 5));
      await until(() => relay.errors.length > 0 || null, {
        what: 'the relay misses its acknowledgements',
        withinMs: 60_000,
      });
      proxy.heal();
      await emptied(bus);
      await relay.stop();
      await proxy.close();
      expect(await parkedFor(bus)).toEqual([]);
      await expectWhole(`cut-${kind}`, await bus.readAll());
      await removeSink(database.db, bus.row.sink);
      await bus.close();
    }, 90_000);

    test('invariant 9: two relays at once, one stopped in its round and continued: it repeats at most, in order', async () => {
      const bus = await added();
      await commitAll(rounds(`two-${kind}`, 30, 20));
      const child = startChild('stopping-relay.ts', {
        CHILD_DATABASE_URL: database.urlOf('relay'),
        CHILD_SINK: JSON.stringify(bus.row),
        ...bus.env,
      });
      await until(() => child.messages.includes('stopping'), { what: 'the child is in its round' });
      const relay = startRelay(bus);
      await until(async () => ((await waitingFor(bus)) ?? 0) < 200, { what: 'the other has taken over' });
      child.process.kill('SIGCONT');
      await until(() => child.ended(), { what: 'the zombie gives up' });
      expect(child.messages).toContainEqual({ failed: 'Fenced' });
      await emptied(bus);
      await relay.stop();
      await expectWhole(`two-${kind}`, await bus.readAll());
      await removeSink(database.db, bus.row.sink);
    }, 60_000);

    test('invariant 8: a writer killed just before COMMIT leaves nothing on the bus', async () => {
      const bus = await added();
      const relay = startRelay(bus);
      const writer = new Client({
        connectionString: database.urlOf('commit'),
        types: { getTypeParser: types.getTypeParser },
      });
      writer.on('error', () => undefined);
      await writer.connect();
      await writer.query('begin');
      const uncommitted = makeCommit({
        db: writer as unknown as Pool,
        model: counters,
        partitions: 64,
        wake: () => undefined,
      });
      const { outcomes } = await uncommitted([counterCommand(`killed-writer-${kind}`, { by: 1 })]);
      expect(outcomes).toMatchObject([{ outcome: 'accepted' }]);
      const { rows: there } = await writer.query('select from reprise.events where entity_id = $1', [
        `killed-writer-${kind}`,
      ]);
      expect(there).toHaveLength(1);
      const { rows } = await writer.query<{ pid: number }>('select pg_backend_pid() as pid');
      const ended = new Promise((done) => writer.once('end', done));
      await database.db.query('select pg_terminate_backend($1)', [rows[0]?.pid]);
      await ended;
      const others = rounds(`around-${kind}`, 30, 2);
      await commitAll(others);
      await emptied(bus);
      await commitAll([counterCommand(`around-${kind}-0`)]); // a second look of the relay, after it had nothing to do
      await emptied(bus);
      await relay.stop();
      expect(relay.errors).toEqual([]);
      const found = await bus.readAll();
      expect(found.filter(({ partitionkey }) => partitionkey.includes('killed-writer'))).toEqual([]);
      await expectWhole(`around-${kind}`, found);
      const { rows: left } = await database.db.query('select from reprise.events where entity_id = $1', [
        `killed-writer-${kind}`,
      ]);
      expect(left).toEqual([]);
      await removeSink(database.db, bus.row.sink);
      await bus.close();
    });
  });
