import { randomBytes } from 'node:crypto';
import { relayOutbox } from '../activities/relay';
import { readNext } from '../activities/relay/outbox';
import { checkSinks } from '../cli/doctor/sinks';
import { readFigures } from '../db/figures';
import { requestRedrive, skipParked } from '../db/parked';
import { addSink, removeSink } from '../db/sinks';
import { MessageRefused, type OutboxMessage, type Sink } from '../relay/sink';
import { counterCommand } from './support/counters';
import { openRelaying, type Relaying } from './support/relaying';
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

test('a zombie that finds refused what was skipped and published since parks nobody', async () => {
  await addSink(relaying.database.db, row('zombie'));
  await relaying.commitAll([...many('zombie', 1), ...many('zombie', 1)]);
  let refuse = (): void => undefined;
  const zombie = relaying.relayTo(
    'zombie',
    made(() => new Promise((_, reject) => (refuse = () => reject(new MessageRefused('too large'))))),
  );
  const hanging = refuse;
  await until(() => refuse !== hanging, { what: 'it is in its round' });
  const abandoned = zombie.stop();
  const owner = relaying.relayTo(
    'zombie',
    made(() => Promise.resolve()),
  );
  await relaying.emptied('zombie');
  refuse();
  await abandoned;
  expect(zombie.errors.map(String)).toEqual([expect.stringMatching(/^Fenced: /)]);
  expect(await relaying.parkedFor('zombie')).toEqual([]);
  await owner.stop();
  await removeSink(relaying.database.db, 'zombie');
});

test('a relay tells that it lives while its broker is still being reached', async () => {
  await addSink(relaying.database.db, row('distant'));
  const abort = new AbortController();
  let beats = 0;
  const reached = until(() => beats > 0, { what: 'it tells that it lives' });
  const { database, relayDb, wakes } = relaying;
  await relayOutbox('distant', {
    ...{ db: relayDb, wakes, signal: abort.signal, heartbeat: () => (beats += 1) },
    open: async () => {
      await reached;
      abort.abort();
      return { warnings: [], publish: () => Promise.resolve(), close: () => Promise.resolve() };
    },
  });
  expect(beats).toBeGreaterThan(0);
  await removeSink(database.db, 'distant');
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
