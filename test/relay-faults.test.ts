import { Client, types, type Pool } from 'pg';
import { makeCommit } from '../activities/commit';
import { addSink, removeSink } from '../db/sinks';
import { natsBus, OwnNats, rabbitBus, type Bus } from './support/brokers';
import { Proxy } from './support/proxy';
import { startChild } from './support/child';
import { counterCommand, counters } from './support/counters';
import { kafkaBus, startKafka } from './support/kafka';
import { openRelaying, type Relaying } from './support/relaying';
import { required, type TestDatabase } from './support/system';
import { until } from './support/until';
import { describeWith } from './support/with-broker';
import { expectWhole, rounds } from './support/whole';

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

interface Reached {
  readonly open: () => Promise<Bus>;
  /** Where it can be cut off, and the way to it through another port. A Kafka tells its clients its own. */
  readonly cut?: { readonly port: number; readonly through: (port: number) => NodeJS.ProcessEnv };
}

const REACHED: Record<string, () => Promise<Reached>> = {
  nats: async () => {
    const nats = await OwnNats.open();
    closing.push(() => nats.close());
    const through = (port: number) => ({ NATS_URL: `nats://127.0.0.1:${port}` });
    return { open: () => Promise.resolve(natsBus(nats.url)), cut: { port: nats.port, through } };
  },
  rabbitmq: () => {
    const url = new URL(required('REPRISE_TEST_AMQP_URL'));
    const through = (port: number) => {
      const other = new URL(url);
      other.host = `127.0.0.1:${port}`;
      return { AMQP_URL: other.toString() };
    };
    return Promise.resolve({
      open: () => rabbitBus(url.toString()),
      cut: { port: Number(url.port || 5672), through },
    });
  },
  kafka: async () => {
    const kafka = await startKafka();
    closing.push(() => kafka.stop());
    return { open: () => Promise.resolve(kafkaBus(kafka.brokers)) };
  },
};

for (const kind of Object.keys(REACHED))
  describeWith(kind)(`on the way to ${kind}`, () => {
    let reached: Reached;
    beforeAll(async () => {
      reached = await (REACHED[kind] as (typeof REACHED)[string])();
    }, 240_000);

    const added = async (): Promise<Bus> => {
      const bus = await reached.open();
      await addSink(database.db, bus.row);
      return bus;
    };

    // A Kafka client goes to the address that its broker advertises, past any proxy.
    if (kind !== 'kafka')
      test('invariant 9: acknowledgements that are cut are repeats, in order, and no message is to blame', async () => {
        const { port, through } = reached.cut as Required<Reached>['cut'];
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
        await expectWhole(database.db, `cut-${kind}`, await bus.readAll());
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
      await expectWhole(database.db, `two-${kind}`, await bus.readAll());
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
      await expectWhole(database.db, `around-${kind}`, found);
      const { rows: left } = await database.db.query('select from reprise.events where entity_id = $1', [
        `killed-writer-${kind}`,
      ]);
      expect(left).toEqual([]);
      await removeSink(database.db, bus.row.sink);
      await bus.close();
    });
  });
