import { requestRedrive, skipParked } from '../db/parked';
import { addSink } from '../db/sinks';
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
