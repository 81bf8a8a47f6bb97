import { jetstreamManager } from '@nats-io/jetstream';
import { connect as connectNats } from '@nats-io/transport-node';
import { addSink, removeSink } from '../db/sinks';
import { natsBus, OwnNats, rabbitBus, type Bus } from './support/brokers';
import { counterCommand } from './support/counters';
import { kafkaBus, startKafka } from './support/kafka';
import { openRelaying, type Relaying } from './support/relaying';
import { required, type TestDatabase } from './support/system';
import { until } from './support/until';
import { describeWith } from './support/with-broker';
import { expectCountedOnce, expectWhole, rounds } from './support/whole';

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

for (const kind of Object.keys(BUSES))
  describeWith(kind)(`to ${kind}`, () => {
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
        await expectWhole(database.db, name, found);
        await expectCountedOnce(database.db, name, found);
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

describeWith('nats')('a NATS that fails', () => {
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
    await expectWhole(database.db, 'killed', await bus.readAll());
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
    await expectWhole(database.db, 'full', await bus.readAll());
    await removeSink(database.db, name);
  }, 60_000);
});
