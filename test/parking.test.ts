import { makeCommit, type Commit } from '../activities/commit';
import { makeProjector } from '../activities/project';
import { describeTable } from '../db/read-model-table';
import { tailLog } from '../activities/tail';
import { applyWithCare } from '../activities/tail/care';
import { takeOver } from '../activities/tail/checkpoints';
import { beginTry } from '../activities/tail/doubt';
import { NOT_WATCHED } from '../activities/watch';
import { resetProjection } from '../db/generations';
import { migrate } from '../db/migrate';
import { readParked, readParkedKinds, requestRedrive, skipParked } from '../db/parked';
import { openPool } from '../db/pool';
import { readProjections } from '../db/projections';
import { listenForWakes } from '../db/wake';
import { model } from '../model/model';
import { partitionOf } from '../model/partition';
import { startChild } from './support/child';
import { counterTotals } from './support/counter-totals';
import { counterCommand, counters } from './support/counters';
import { testDatabase, type TestDatabase } from './support/system';
import { until } from './support/until';

const CONSUMER = 'projection/counter_totals';
const poison = new Set<string>();
const nothing = () => undefined;
let beats = 0;
let beatsAt: Record<string, number> = {}; // when an entity was folded last
let failWith: (() => unknown) | null = null;
const projection = counterTotals((entityId) => {
  beatsAt[entityId] = beats;
  if (poison.has(entityId) && failWith) throw failWith();
  if (poison.has(entityId)) throw new Error(`cannot fold ${entityId.length} of "${entityId}"`);
});
const ofModel = model({ entities: counters.entities, projections: [projection] });

let database: TestDatabase;
let commit: Commit;
let pools: ReturnType<typeof openPool>[];

beforeAll(async () => {
  database = await testDatabase();
  await migrate(database.url, { model: ofModel, owned: true });
  pools = (['commit', 'project'] as const).map((role) =>
    openPool({ url: database.urlOf(role), max: 4, applicationName: 'test' }),
  );
  commit = makeCommit({ db: pools[0] as never, model: counters, partitions: 64, wake: () => undefined });
});
afterAll(async () => {
  await Promise.all(pools.map((pool) => pool.end()));
  await database.drop();
});

const projector = async (db: ReturnType<typeof openPool>) =>
  makeProjector({
    model: ofModel,
    projection,
    generation: 1,
    table: await describeTable(db, 'counter_totals__g1'),
  });

/** Runs the projector until `fact` holds. */
async function projectUntil(what: string, fact: () => Promise<unknown>, parkedMax?: number): Promise<void> {
  const db = pools[1] as ReturnType<typeof openPool>;
  const abort = new AbortController();
  const wakes = listenForWakes(database.urlOf('project'));
  const ports = { db, wakes, heartbeat: () => void (beats += 1), signal: abort.signal };
  const running = tailLog(await projector(db), parkedMax === undefined ? ports : { ...ports, parkedMax });
  try {
    const ended = running.then(() => true);
    await Promise.race([ended, until(async () => Boolean(await fact()), { what })]);
    abort.abort();
    await running;
  } finally {
    await wakes.close();
  }
}

const lagOf = async () =>
  (await readProjections(database.db)).find(({ name }) => name === 'counter_totals')?.lag_events ?? -1;
const caughtUp = async () => (await lagOf()) === 0;
const rowOf = async (id: string) =>
  (await database.db.query('select total, events from read.counter_totals where counter_id = $1', [id])).rows[0] as
    { total: number; events: number } | undefined;

/** Nothing fails any more, and what is parked goes on. */
async function letGo(): Promise<void> {
  poison.clear();
  failWith = null;
  await requestRedrive(database.db, CONSUMER, null);
  const none = async () => (await readParked(database.db, CONSUMER, null)).length === 0;
  await projectUntil('nothing is parked', none);
}

test('invariant 16: a fold that throws parks its entity for that consumer only; redrive applies each event once', async () => {
  poison.add('bad');
  const ids = ['bad', 'good-1', 'bad', 'good-2', 'bad'];
  await commit(ids.map((id, n) => counterCommand(id, { by: n + 1 })));
  await projectUntil('others are there', caughtUp);
  expect(await rowOf('bad')).toBeUndefined();
  expect(await rowOf('good-1')).toEqual({ total: 2, events: 1 });
  expect(await rowOf('good-2')).toEqual({ total: 4, events: 1 });
  const [parked] = await readParked(database.db, CONSUMER, 'counter/bad');
  expect(parked).toMatchObject({ error: 'cannot fold 3 of "bad"', attempts: 3, redrive: false });

  await commit([counterCommand('bad', { by: 10 }), counterCommand('good-1', { by: 10 })]);
  await projectUntil('it waits, others go on', caughtUp);
  expect(await rowOf('bad')).toBeUndefined();
  expect(await rowOf('good-1')).toEqual({ total: 12, events: 2 });

  expect(await requestRedrive(database.db, CONSUMER, null)).toBe(1);
  await projectUntil('it fails again', async () => (await readParked(database.db, CONSUMER, null))[0]?.attempts === 4);
  expect(await rowOf('bad')).toBeUndefined();

  poison.clear();
  await requestRedrive(database.db, CONSUMER, 'counter/bad');
  await projectUntil('nothing is parked', async () => (await readParked(database.db, CONSUMER, null)).length === 0);
  expect(await rowOf('bad')).toEqual({ total: 1 + 3 + 5 + 10, events: 4 });
});

test('a row that PostgreSQL refuses parks its entity at the event that made it so, and skipping that one goes on', async () => {
  await commit([
    counterCommand('wide', { by: 1 }),
    counterCommand('narrow', { by: 1 }),
    counterCommand('wide', { by: 40_000 }),
    counterCommand('wide', { by: 2 }),
  ]);
  await projectUntil('the other is there', caughtUp);
  expect(await rowOf('wide')).toEqual({ total: 1, events: 1 });
  expect(await rowOf('narrow')).toEqual({ total: 1, events: 1 });
  const asked = { consumer: CONSUMER, entity: 'counter/wide', reason: 'does not fit', actor: 'test' };
  expect(await skipParked(database.db, asked)).toBe(true);
  await projectUntil('it goes on', async () => (await rowOf('wide'))?.events === 2);
  expect(await rowOf('wide')).toEqual({ total: 3, events: 2 });
  expect(await readParked(database.db, CONSUMER, null)).toEqual([]);
});

const invalidUrl = (): unknown => {
  try {
    return new URL('no url');
  } catch (error) {
    return error;
  }
};
test.each([
  ['one of Node', invalidUrl, /Invalid URL/],
  ["an application's own", () => Object.assign(new Error('out of stock'), { code: 'E_STOCK' }), /out of stock/],
])('an error with a code (%s) parks its entity like any other', async (_whose, make, told) => {
  poison.add('coded');
  failWith = make;
  await commit([counterCommand('coded'), counterCommand('beside-coded')]);
  await projectUntil('the other is there', caughtUp);
  expect(await readParked(database.db, CONSUMER, 'counter/coded')).toMatchObject([
    { error: expect.stringMatching(told) as string },
  ]);
  await letGo();
});

test('an error whose text PostgreSQL cannot keep, and a thrown thing that has none, park their entity', async () => {
  for (const thrown of [new Error('byte \0, half \ud800'), Object.create(null)]) {
    poison.add('untold');
    failWith = () => thrown as unknown;
    await commit([counterCommand('untold'), counterCommand('beside-untold')]);
    await projectUntil('the other is there', caughtUp);
    expect(await readParked(database.db, CONSUMER, null)).toMatchObject([{ entity: 'counter/untold' }]);
    await letGo();
  }
});

test('a row that a constraint of the read model refuses parks its entity; a table that is not there parks nothing', async () => {
  await database.db.query(`create unique index one_of_77 on read.counter_totals__g1 (total) where total = 77`);
  await commit([counterCommand('first-77', { by: 77 })]);
  await projectUntil('the first is there', caughtUp);
  await commit([counterCommand('second-77', { by: 77 }), counterCommand('beside-77')]);
  await projectUntil('the other is there', caughtUp);
  const [parked, ...others] = await readParked(database.db, CONSUMER, null);
  expect(parked).toMatchObject({ entity: 'counter/second-77', error: expect.stringMatching(/one_of_77/) as string });
  expect(others).toEqual([]);
  await database.db.query('drop index read.one_of_77');
  await letGo();

  await database.db.query('revoke update on read.counter_totals__g1 from reprise_project');
  await commit([counterCommand('first-77')]);
  await expect(projectUntil('it cannot', caughtUp)).rejects.toMatchObject({ code: '42501' });
  expect(await readParked(database.db, CONSUMER, null)).toEqual([]);
  await database.db.query('grant update on read.counter_totals__g1 to reprise_project');
  await projectUntil('with the grant it goes on', caughtUp);
});

test('failures of one kind have one fingerprint, and more parked entities than allowed stop the consumer', async () => {
  const ids = Array.from({ length: 6 }, (_, n) => `many-${n}`);
  for (const id of ids) poison.add(id);
  await commit(ids.map((id) => counterCommand(id)));
  const status = async () =>
    (
      await database.db.query<{ status: string }>(
        'select distinct status from reprise.checkpoints where consumer = $1',
        [CONSUMER],
      )
    ).rows.map((row) => row.status);
  await projectUntil('it stops', async () => (await status()).includes('parked-full'), 3);
  const kinds = await readParkedKinds(database.db);
  expect(kinds).toHaveLength(1);
  expect(kinds[0]).toMatchObject({ consumer: CONSUMER, entities: 6 });
  await commit([counterCommand('after-the-stop')]);
  expect(await lagOf()).toBe(1);
  poison.clear();
  await requestRedrive(database.db, CONSUMER, null);
  await projectUntil('all of them go on', async () => (await caughtUp()) && (await rowOf('many-5')) !== undefined);
  expect(await rowOf('after-the-stop')).toEqual({ total: 1, events: 1 });
});

/** Processes that the killer ends are started until one has parked it, and applied the rest. */
async function deathsUntilParked(): Promise<number> {
  for (let deaths = 0; ;) {
    expect(deaths).toBeLessThan(6);
    const child = startChild('crashing-projector.ts', { CHILD_DATABASE_URL: database.urlOf('project') });
    await until(async () => child.ended() || (await caughtUp()), { what: 'it died, or has applied the rest' });
    const died = child.ended();
    await child.kill();
    if (!died) return deaths;
    deaths += 1;
  }
}

test('an event that kills the process is found by its unfinished tries, and parked', async () => {
  await commit([counterCommand('killer'), counterCommand('bystander'), counterCommand('killer')]);
  expect(await deathsUntilParked()).toBeLessThanOrEqual(3);
  const [parked] = await readParked(database.db, CONSUMER, 'counter/killer');
  expect(parked?.error).toMatch(/the process ended 2 times while it applied counter.added/);
  expect(await rowOf('killer')).toBeUndefined();
  expect(await rowOf('bystander')).toEqual({ total: 1, events: 1 });
  await requestRedrive(database.db, CONSUMER, null);
  await projectUntil('code that does not die of it applies it', async () => (await rowOf('killer'))?.events === 2);
}, 60_000);

test.each([
  ['20', 20, 3],
  ['200', 200, 4],
])(
  'a killer behind %s others of its partition is parked after a few deaths, and the others are applied',
  async (_n, n, most) => {
    const others = Array.from({ length: 100_000 }, (_, k) => `before-${n}-${k}`)
      .filter((id) => partitionOf('counter', id, 64) === partitionOf('counter', 'killer', 64))
      .slice(0, n);
    for (let k = 0; k < n; k += 100) await commit(others.slice(k, k + 100).map((id) => counterCommand(id)));
    await commit([counterCommand('killer'), counterCommand(others[0] ?? '')]);
    expect(await deathsUntilParked()).toBeLessThanOrEqual(most);
    expect(await readParked(database.db, CONSUMER, null)).toMatchObject([{ entity: 'counter/killer' }]);
    expect(await rowOf(others[0] ?? '')).toMatchObject({ events: 2 });
    expect(await rowOf(others.at(-1) ?? '')).toMatchObject({ events: 1 });
    await letGo();
  },
  60_000,
);

test('restarts of a paused consumer throw no suspicion on the events that wait', async () => {
  const set = (status: string) =>
    database.db.query('update reprise.checkpoints set status = $2 where consumer = $1', [CONSUMER, status]);
  await set('paused');
  await commit([counterCommand('innocent')]);
  const db = pools[1] as ReturnType<typeof openPool>;
  const consumer = await projector(db);
  const signal = new AbortController().signal;
  for (let n = 0; n < 4; n++) {
    const { epoch, doubtful } = await takeOver(db, consumer); // of an owner that never ended its turn
    await applyWithCare(
      { db, consumer, epoch, parkedMax: 100, signal, heartbeat: nothing, watch: NOT_WATCHED },
      doubtful,
      100,
    );
  }
  await set('running');
  await projectUntil('it is applied', caughtUp);
  expect(await readParked(database.db, CONSUMER, null)).toEqual([]);
  expect(await rowOf('innocent')).toEqual({ total: 1, events: 1 });
});

test('who lost a doubtful partition to another owner counts no try of it', async () => {
  await commit([counterCommand('taken-over')]);
  const db = pools[1] as ReturnType<typeof openPool>;
  const name = { consumer: CONSUMER, generation: 1 };
  const { epoch } = await takeOver(db, name);
  const doubt = { partition: partitionOf('counter', 'taken-over', 64), before: 1_000_000 };
  expect(await beginTry(db, name, { ...doubt, epoch }, true)).toBe(1);
  await takeOver(db, name);
  await expect(beginTry(db, name, { ...doubt, epoch }, true)).rejects.toThrow(/newer owner/);
  await projectUntil('it is applied', caughtUp);
});

test('a killer that is redriven ends one process, stays parked, and counts the attempt', async () => {
  poison.add('killer');
  await commit([counterCommand('killer')]);
  await projectUntil('it is parked', caughtUp);
  await requestRedrive(database.db, CONSUMER, null);
  await commit([counterCommand('beside-the-redriven')]);
  expect(await deathsUntilParked()).toBe(1);
  expect(await readParked(database.db, CONSUMER, null)).toMatchObject([
    { entity: 'counter/killer', redrive: false, attempts: 4 },
  ]);
  expect(await rowOf('beside-the-redriven')).toEqual({ total: 1, events: 1 });
  await letGo();
}, 60_000);

test('a long redrive, and what is applied event by event, tell that they go on', async () => {
  const ids = ['beats-1', 'beats-2', 'beats-3'];
  for (const id of ids) poison.add(id);
  await commit(ids.map((id) => counterCommand(id)));
  await projectUntil('they are parked', caughtUp);
  beatsAt = {};
  await letGo();
  expect(new Set(ids.map((id) => beatsAt[id])).size).toBe(3);

  poison.add('last-of-all');
  const before = partitionOf('counter', 'last-of-all', 64);
  const others = Array.from({ length: 100_000 }, (_, k) => `apart-${k}`)
    .filter((id) => partitionOf('counter', id, 64) === before)
    .slice(0, 300);
  for (let k = 0; k < 300; k += 100) await commit(others.slice(k, k + 100).map((id) => counterCommand(id)));
  await commit([counterCommand('last-of-all')]);
  await projectUntil('it is parked', caughtUp);
  expect(beatsAt['last-of-all']).toBeGreaterThan(beatsAt[others[0] ?? ''] ?? Infinity);
  await letGo();
});

test('a redrive longer than a chunk goes on by itself, and counts as one attempt', async () => {
  poison.add('long');
  for (let n = 0; n < 12; n++) await commit(Array.from({ length: 100 }, () => counterCommand('long', { by: 0 })));
  await projectUntil('it is parked', caughtUp);
  await letGo();
  expect(await rowOf('long')).toEqual({ total: 0, events: 1_200 });
});

test('a read model whose version was raised is reset to its next generation, which the old code does not feed', async () => {
  await resetProjection(database.url, { ...projection, version: 2 });
  const { rows } = await database.db.query(
    'select generation, declared_version, status from reprise.generations where consumer = $1 order by generation',
    [CONSUMER],
  );
  expect(rows).toEqual([
    { generation: 1, declared_version: 1, status: 'dropped' },
    { generation: 2, declared_version: 2, status: 'active' },
  ]);
  expect((await database.db.query('select from read.counter_totals')).rowCount).toBe(0);
  const left = 'select from reprise.checkpoints where consumer = $1 and generation = 1';
  expect((await database.db.query(left, [CONSUMER])).rowCount).toBe(0);
});
