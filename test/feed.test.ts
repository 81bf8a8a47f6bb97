import { z } from 'zod';
import { makeCommit, type Commit } from '../activities/commit';
import { tailLog, type OutsideConsumer } from '../activities/tail';
import { NOT_WATCHED } from '../activities/watch';
import { makeInbox } from '../consumer/inbox';
import { subscribe, type SubscribeOptions, type Subscriber, type Subscription } from '../client/subscribe';
import { command } from '../contracts/command';
import { SKIPPED, type Envelope } from '../contracts/envelope';
import { event } from '../contracts/event';
import { ensureCheckpoints } from '../db/checkpoints';
import { readParked, requestRedrive, skipParked } from '../db/parked';
import { removeFeed } from '../db/feeds';
import { openPool } from '../db/pool';
import { addSink, removeSink } from '../db/sinks';
import { listenForWakes } from '../db/wake';
import { entity } from '../model/entity';
import { model, type Model } from '../model/model';
import { startChild } from './support/child';
import { counterCommand, counters } from './support/counters';
import { testDatabase, type TestDatabase } from './support/system';
import { until } from './support/until';

const said = event('talk.said', {
  version: 2,
  data: z.object({ words: z.string(), secret: z.string() }),
  upcasts: { 1: (old: { words: string }) => ({ ...old, secret: '' }) },
  public: { version: 3, data: z.strictObject({ heard: z.string() }), from: ({ words }) => ({ heard: shapeOf(words) }) },
});
let brokenSince = false; // a deploy broke what shapes it
const shapeOf = (words: string): string => {
  if (brokenSince && words === 'no shape') throw new Error('no shape');
  return words;
};
const thought = event('talk.thought', { data: z.object({}), visibility: 'private' });
const say = command('say', { data: z.object({ words: z.string() }) });
const think = command('think', { data: z.object({}) });
const talks = model({
  entities: [
    entity('talk', {
      version: 1,
      commands: [say, think],
      events: [said, thought],
      refusals: {},
      initial: {},
      decide: { say: (_state, { words }) => [said({ words, secret: 's3' })], think: () => [thought({})] },
      evolve: { 'talk.said': (state) => state, 'talk.thought': (state) => state },
    }),
  ],
});
// The same with an event more: a deploy that the feed has not seen yet.
const shouted = event('talk.shouted', { data: z.object({}) });
const shout = command('shout', { data: z.object({}) });
const newerTalks = model({
  entities: [
    entity('talk', {
      version: 1,
      commands: [say, shout],
      events: [said, thought, shouted],
      refusals: {},
      initial: {},
      decide: { say: (_state, { words }) => [said({ words, secret: 's3' })], shout: () => [shouted({})] },
      evolve: { 'talk.said': (state) => state, 'talk.thought': (state) => state, 'talk.shouted': (state) => state },
    }),
  ],
});

let database: TestDatabase;
let db: ReturnType<typeof openPool>;
let commit: Commit;
const running: Subscription[] = [];

beforeEach(async () => {
  database = await testDatabase();
  db = openPool({ url: database.urlOf('commit'), max: 4, applicationName: 'test' });
  commit = makeCommit({ db, model: talks, partitions: 64, wake: () => undefined });
});
afterEach(async () => {
  await Promise.all(running.splice(0).map(({ stop }) => stop()));
  await db.end();
  await database.drop();
});

let nth = 0;
const message = (entityId: string, name: 'say' | 'think' | 'shout', data: unknown = {}) => ({
  ...{ entityType: 'talk', entityId, commandId: `c${++nth}`, name, version: 1, data },
});
const sayAll = (...said: readonly (readonly [id: string, words: string])[]) =>
  commit(said.map(([id, words]) => message(id, 'say', { words })));

function start(
  name: string,
  subscriber: Subscriber,
  options: SubscribeOptions = {},
  ofModel: Model = talks,
): Subscription {
  const subscription = subscribe({ model: ofModel, url: database.urlOf('feed') }, name, subscriber, options);
  running.push(subscription);
  return subscription;
}
const into = (list: Envelope[]) => (event: Envelope) => void list.push(event);
const words = (list: readonly Envelope[]) => list.map(({ data }) => (data as { heard?: string } | undefined)?.heard);
const checkpointLag = async (name: string) =>
  (
    await database.db.query<{ lag: number }>(
      'select coalesce(sum(lag_events), -1)::integer as lag from reprise.lag where consumer = $1',
      [`feed/${name}`],
    )
  ).rows[0]?.lag;
const statusesOf = async (name: string) =>
  (
    await database.db.query<{ status: string }>('select distinct status from reprise.checkpoints where consumer = $1', [
      `feed/${name}`,
    ])
  ).rows.map(({ status }) => status);
const caughtUp = (name: string) =>
  until(async () => (await checkpointLag(name)) === 0, { what: `${name} has caught up` });

test('a subscriber gets every published event, in order per entity, in the same envelope as the bus', async () => {
  await addSink(database.db, { sink: 'bus', kind: 'nats', options: {} });
  await sayAll(['a', '1'], ['b', '2'], ['a', '3']);
  await commit([message('a', 'think'), message('a', 'say', { words: '4' })]);
  const got: Envelope[] = [];
  start('listener', into(got));
  await caughtUp('listener');
  expect(words(got.filter(({ subject }) => subject === 'a'))).toEqual(['1', '3', '4']);
  expect(got.find(({ entityversion }) => entityversion === 4)).toMatchObject({ previousversion: 2 });
  const { rows } = await database.db.query<{ message: Envelope }>('select message from reprise.outbox');
  const byId = (list: readonly Envelope[]) => [...list].sort((x, y) => (x.id < y.id ? -1 : 1));
  expect(byId(got)).toEqual(byId(rows.map((row) => row.message)));
  expect(got[0]).toMatchObject({ data: { heard: '1' }, dataschema: 'reprise:talk.said/3' });
  expect(new URL(got[0]?.dataschema ?? '').protocol).toBe('reprise:'); // an absolute URI, as CloudEvents asks
  expect(JSON.stringify(got)).not.toContain('s3');
  await removeSink(database.db, 'bus');
});

test('each name has its own place and keeps it; a new one may begin at head', async () => {
  await sayAll(['a', '1'], ['a', '2']);
  const first: Envelope[] = [];
  const one = start('first', into(first));
  await caughtUp('first');
  await one.stop();
  const late: Envelope[] = [];
  start('late', into(late), { from: 'head' });
  await caughtUp('late');
  await sayAll(['a', '3']);
  await caughtUp('late');
  start('first', into(first));
  await caughtUp('first');
  expect(words(first)).toEqual(['1', '2', '3']);
  expect(words(late)).toEqual(['3']);
});

test('invariant 16: a handler that fails parks its entity for that subscriber only; redrive and skip keep the order', async () => {
  const got: Envelope[] = [];
  const other: Envelope[] = [];
  let failing = true;
  start('picky', (event) => {
    if (failing && event.subject === 'bad') throw new Error('cannot take it');
    got.push(event);
  });
  start('other', into(other));
  await sayAll(['bad', '1'], ['good', '2'], ['bad', '3']);
  await caughtUp('picky');
  await caughtUp('other');
  expect(words(got)).toEqual(['2']);
  expect(words(other.filter(({ subject }) => subject === 'bad'))).toEqual(['1', '3']);
  expect(await readParked(database.db, 'feed/picky', 'talk/bad')).toMatchObject([
    { error: 'cannot take it', attempts: 5 },
  ]);
  await sayAll(['bad', '4']);
  await caughtUp('picky');
  expect(words(got)).toEqual(['2']);
  failing = false;
  await skipParked(database.db, { consumer: 'feed/picky', entity: 'talk/bad', reason: 'known', actor: 'me' });
  await until(() => got.length === 4, { what: 'it goes on' });
  expect(got.map(({ type, entityversion }) => [type, entityversion]).slice(1)).toEqual([
    ['reprise.skipped', 1],
    ['talk.said', 2],
    ['talk.said', 3],
  ]);
  expect(got[1]?.data).toBeUndefined();
  await until(async () => (await readParked(database.db, 'feed/picky', null)).length === 0, {
    what: 'nothing is parked',
  });
  expect(await requestRedrive(database.db, 'feed/picky', null)).toBe(0);
});

test('a skip asked for while a redrive is under way is done after it, and may be asked for again', async () => {
  const got: Envelope[] = [];
  let tries = 0;
  const { stop } = start('late-skip', (event) => {
    if (event.subject === 'bad' && event.type !== SKIPPED) {
      tries += 1;
      throw new Error('cannot take it');
    }
    got.push(event);
  });
  await sayAll(['bad', '1']);
  await caughtUp('late-skip');
  const of = { consumer: 'feed/late-skip', entity: 'talk/bad', reason: 'known', actor: 'me' };
  await requestRedrive(database.db, of.consumer, null);
  await until(() => tries > 5, { what: 'the redrive is under way' });
  expect(await skipParked(database.db, of)).toBe(true);
  expect(await skipParked(database.db, of)).toBe(true);
  await until(() => got.length > 0, { what: 'it is passed over' });
  expect(got).toMatchObject([{ type: SKIPPED, subject: 'bad' }]);
  await until(async () => (await readParked(database.db, of.consumer, null)).length === 0, {
    what: 'nothing is parked',
  });
  await stop();
  expect(await skipParked(database.db, of)).toBe(false);
});

test('a paused one delivers nothing, also nothing that is redriven', async () => {
  const got: Envelope[] = [];
  let failing = true;
  start('paused', (event) => {
    if (failing && event.subject === 'bad') throw new Error('cannot take it');
    got.push(event);
  });
  await sayAll(['bad', '1']);
  await caughtUp('paused');
  const set = (status: string) =>
    database.db.query('update reprise.checkpoints set status = $1 where consumer = $2', [status, 'feed/paused']);
  await set('paused');
  failing = false;
  await requestRedrive(database.db, 'feed/paused', null);
  // Long enough for a pass of the one that is paused: each polls after two seconds.
  const from = Date.now();
  await until(() => got.length > 0 || Date.now() - from > 5_000, { what: 'it had its time' });
  expect(got).toEqual([]);
  await set('running');
  await until(() => got.length === 1, { what: 'it goes on' });
});

test('an event whose public shape cannot be made is skipped like any other', async () => {
  await sayAll(['a', 'no shape'], ['a', '2']);
  brokenSince = true;
  const got: Envelope[] = [];
  start('shapeless', into(got));
  await caughtUp('shapeless');
  const of = { consumer: 'feed/shapeless', entity: 'talk/a', reason: 'known', actor: 'me' };
  expect(await readParked(database.db, of.consumer, of.entity)).toMatchObject([{ error: 'no shape' }]);
  await skipParked(database.db, of);
  await until(() => got.length === 2, { what: 'it goes on' });
  expect(got).toMatchObject([
    { type: SKIPPED, skippedtype: 'talk.said', entityversion: 1, previousversion: 0 },
    { type: 'talk.said', entityversion: 2, previousversion: 1 },
  ]);
  expect(got[0]).not.toHaveProperty('data');
  expect(got[0]).not.toHaveProperty('dataschema');
  brokenSince = false;
});

test('one that stopped because too many are parked goes on when they are skipped', async () => {
  const got: Envelope[] = [];
  const refusing = (event: Envelope) => {
    if (event.subject.startsWith('bad') && event.type !== SKIPPED) throw new Error('cannot take it');
    got.push(event);
  };
  start('full', refusing, { parkedMax: 1 });
  await sayAll(['bad-1', '1'], ['bad-2', '2']);
  await until(async () => (await statusesOf('full')).includes('parked-full'), { what: 'it stops' });
  for (const id of ['bad-1', 'bad-2']) {
    await skipParked(database.db, { consumer: 'feed/full', entity: `talk/${id}`, reason: 'known', actor: 'me' });
  }
  await sayAll(['good', '3']);
  await until(() => got.some(({ subject }) => subject === 'good'), { what: 'it goes on' });
  expect(await statusesOf('full')).toEqual(['running']);
});

test('stopped in mid-chunk before an event that only newer code knows, it goes on with the next one it had not taken', async () => {
  await sayAll(['a', '1'], ['a', '2'], ['a', '3']);
  const newer = makeCommit({ db, model: newerTalks, partitions: 64, wake: () => undefined });
  await newer([message('a', 'shout')]);
  const got: Envelope[] = [];
  let letGo = (): void => undefined;
  const old = start('stopped', async (event) => {
    got.push(event);
    await new Promise<void>((done) => (letGo = done));
  });
  await until(() => got.length === 1, { what: 'it is in its handler' });
  const stopped = old.stop();
  letGo();
  await stopped;
  start('stopped', into(got), {}, newerTalks);
  await caughtUp('stopped');
  expect(got.map(({ entityversion }) => entityversion)).toEqual([1, 2, 3, 4]);
});

test('an owner whose session is lost is fenced: the next one repeats what it had begun, and nothing is lost', async () => {
  const letGo: (() => void)[] = [];
  const zombie: Envelope[] = [];
  const errors: unknown[] = [];
  start(
    'relayed',
    async (event) => {
      zombie.push(event);
      if (event.subject === 'slow') await new Promise<void>((done) => letGo.push(done));
    },
    { onError: (error) => errors.push(error) },
  );
  await sayAll(['slow', '1'], ['slow', '2'], ['quick', '3']);
  await until(() => letGo.length === 1, { what: 'the first owner is in its handler' });
  const next: Envelope[] = [];
  start('relayed', into(next));
  await database.db.query(
    `select pg_terminate_backend(pid) from pg_stat_activity
     where application_name = 'reprise-feed-owner' and datname = current_database()`,
  );
  await until(async () => (await checkpointLag('relayed')) === 0, { what: 'one of them has it all' });
  for (const go of letGo.splice(0)) go();
  await until(() => errors.length > 0, { what: 'the first owner was told' });
  const seen = [...zombie, ...next].filter(({ subject }) => subject === 'slow');
  expect(new Set(words(seen))).toEqual(new Set(['1', '2']));
  expect(words(next.filter(({ subject }) => subject === 'slow'))).toEqual(['1', '2']);
  expect(await checkpointLag('relayed')).toBe(0);
});

test('an owner that is stopped in its handler loses the name within seconds, and is fenced when it goes on', async () => {
  const counting = makeCommit({ db, model: counters, partitions: 64, wake: () => undefined });
  await counting([counterCommand('a'), counterCommand('a')]);
  const child = startChild('stopping-feed.ts', { CHILD_DATABASE_URL: database.urlOf('feed') });
  try {
    await until(() => child.messages.includes('stopping'), { what: 'the owner is in its handler' });
    const got: Envelope[] = [];
    start('held', into(got), {}, counters);
    await until(() => got.length === 2, { what: 'the standby has it' });
    await caughtUp('held');
    child.process.kill('SIGCONT');
    await until(child.ended, { what: 'the first owner was told' });
    expect(child.messages).toContainEqual({ failed: 'Fenced' });
    expect(got.map(({ entityversion }) => entityversion)).toEqual([1, 2]);
  } finally {
    await child.kill();
  }
});

test('invariant 10: with the inbox of the consumer kit a repeated delivery changes nothing', async () => {
  const pool = openPool({ url: database.url, max: 4, applicationName: 'test' });
  await pool.query('create table tally (subject text primary key, n integer not null)');
  const inbox = makeInbox({ db: pool, consumer: 'tally' });
  await inbox.prepare();
  const handle = (event: Envelope) =>
    inbox.handle(event, async (tx) => {
      await tx.query('insert into tally values ($1, 1) on conflict (subject) do update set n = tally.n + 1', [
        event.subject,
      ]);
    });
  await sayAll(['a', '1'], ['a', '2'], ['b', '3']);
  start('once', async (event) => void (await handle(event)));
  await caughtUp('once');
  start('again', async (event) => void (await handle(event)));
  await caughtUp('again');
  const { rows } = await pool.query('select * from tally order by subject');
  expect(rows).toEqual([
    { subject: 'a', n: 2 },
    { subject: 'b', n: 1 },
  ]);
  await pool.end();
});

test('what is acted on outside counts as applied once its checkpoint has moved, not before', async () => {
  await sayAll(['a', '1'], ['b', '2']);
  await ensureCheckpoints(database.db, 'feed/counted', 'beginning');
  const feed = openPool({ url: database.urlOf('feed'), max: 2, applicationName: 'test' });
  const wakes = listenForWakes(database.urlOf('feed'));
  let applied = 0;
  const run = (actOn: OutsideConsumer['actOn'], signal: AbortSignal) =>
    tailLog(
      {
        ...{ consumer: 'feed/counted', generation: 0, model: talks, actOn, concurrency: 4, chunkEvents: 100 },
        ...{ concerns: () => true, blames: () => 'retry' as const },
      },
      {
        ...{ db: feed, wakes, heartbeat: () => undefined, signal },
        watch: { ...NOT_WATCHED, onApplied: (events) => (applied += events) },
      },
    );
  const raise = `update reprise.checkpoints set epoch = epoch + 1 where consumer = 'feed/counted'`;
  const zombie = run(async () => void (await database.db.query(raise)), new AbortController().signal);
  await expect(zombie).rejects.toThrow(/newer owner/);
  expect(applied).toBe(0);
  const abort = new AbortController();
  const owner = run(async () => undefined, abort.signal);
  await caughtUp('counted');
  abort.abort();
  await owner;
  expect(applied).toBe(2);
  await Promise.all([wakes.close(), feed.end()]);
});

test('one that is removed while it is subscribed is told so, and begins anew', async () => {
  await sayAll(['a', '1']);
  const got: Envelope[] = [];
  const errors: unknown[] = [];
  start('removed', into(got), { onError: (error) => errors.push(error) });
  await caughtUp('removed');
  expect(await removeFeed(database.db, 'removed')).toBe(true);
  await sayAll(['a', '2']);
  await until(() => errors.length > 0, { what: 'it is told' });
  expect(String(errors[0])).toMatch(/Fenced: feed\/removed generation 0 .*was removed/);
  await until(() => got.length === 3, { what: 'it begins anew' });
  expect(words(got)).toEqual(['1', '1', '2']);
});

test('its login reads what was published, and of a private event only that there was one', async () => {
  await sayAll(['a', '1']);
  await commit([message('a', 'think')]);
  const feed = openPool({ url: database.urlOf('feed'), max: 1, applicationName: 'test' });
  const read = (what: string) => feed.query<Record<string, unknown>>(`select ${what} order by version`);
  const { rows } = await read('type, data, meta is null as bare from reprise.published_events');
  expect(rows).toEqual([
    { type: 'talk.said', data: { words: '1', secret: 's3' }, bare: false },
    { type: 'talk.thought', data: null, bare: true },
  ]);
  for (const column of ['data', 'meta', 'command_id']) {
    await expect(read(`${column} from reprise.events`)).rejects.toMatchObject({ code: '42501' });
  }
  await expect(feed.query(`select reprise.words('{a}')`)).rejects.toMatchObject({ code: '42501' });
  await feed.end();
});

test('what cannot work is said: a login without the grant, a bad name, a private type', async () => {
  const { finished } = subscribe({ model: talks, url: database.urlOf('read') }, 'reader', () => undefined, {});
  await expect(finished).rejects.toMatchObject({ code: '42501' });
  expect(() => start('No Name', () => undefined)).toThrow(/a name is lower case/);
  expect(() => start('x', () => undefined, { types: ['talk.thought'] })).toThrow(/no public event/);
  expect(() => start('x', () => undefined, { types: [] })).toThrow(/types names no event/);
  for (const concurrency of [0, -1, 0.5, NaN, 1e9]) {
    expect(() => start('x', () => undefined, { concurrency })).toThrow(/concurrency is a whole number from 1 to 1000/);
  }
  for (const parkedMax of [-1, 0.5, NaN, 2 ** 31]) {
    expect(() => start('x', () => undefined, { parkedMax })).toThrow(/parkedMax is a whole number from 0/);
  }
  expect(() => start('x', () => undefined, { from: 'now' as 'head' })).toThrow(/from is 'beginning' or 'head'/);
});
