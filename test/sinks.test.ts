import { makeCommit, type Commit } from '../activities/commit';
import { openPool } from '../db/pool';
import { addSink, removeSink } from '../db/sinks';
import { partitionOf } from '../model/partition';
import { counterCommand, counters } from './support/counters';
import { testDatabase, type TestDatabase } from './support/system';

let database: TestDatabase;
let db: ReturnType<typeof openPool>;
let commit: Commit;

beforeAll(async () => {
  database = await testDatabase();
  db = openPool({ url: database.urlOf('commit'), max: 4, applicationName: 'test' });
  commit = makeCommit({ db, model: counters, partitions: 64, wake: () => undefined });
});
afterAll(async () => {
  await db.end();
  await database.drop();
});

const ROUNDS = 30;
const COMMITTERS = 4;
const EACH_MS = 30;

const row = (sink: string) => ({ sink, kind: 'nats' as const, options: {} });
const pause = () => new Promise((resolve) => setTimeout(resolve, EACH_MS));
const countOf = async (sql: string, values: readonly unknown[]) =>
  (await database.db.query<{ count: number }>(sql, [...values])).rows[0]?.count;

/** Recorded since the sink is there, and not among what waits for it. */
const missedBy = (sink: string) =>
  countOf(
    `select count(*) as count from reprise.events e join reprise.sinks s on s.sink = $1
     where e.recorded_at >= s.since and e.published_after is not null
       and not exists (select from reprise.outbox o where o.sink = $1 and o.event_id = e.event_id)`,
    [sink],
  );
const rowsOf = (sink: string) => countOf('select count(*) as count from reprise.outbox where sink = $1', [sink]);

test('invariant 7: a sink added or removed beside commits misses no event recorded since, and leaves no row behind', async () => {
  let stopped = false;
  const traffic = Promise.all(
    Array.from({ length: COMMITTERS }, async (_, committer) => {
      for (let n = 0; !stopped; n++) {
        await commit(Array.from({ length: 20 }, (_one, k) => counterCommand(`t-${committer}-${n}-${k}`)));
      }
    }),
  );
  const missed: unknown[] = [];
  const left: unknown[] = [];
  let queued = 0;
  try {
    for (let nth = 0; nth < ROUNDS; nth++) {
      const sink = `sink-${nth}`;
      expect(await addSink(database.db, row(sink))).toBe(true);
      await pause();
      missed.push(await missedBy(sink));
      queued += (await removeSink(database.db, sink)) ?? 0;
      await pause();
      left.push(await rowsOf(sink));
    }
  } finally {
    stopped = true;
    await traffic;
  }
  expect(missed).toEqual(Array.from({ length: ROUNDS }, () => 0));
  expect(left).toEqual(Array.from({ length: ROUNDS }, () => 0));
  expect(queued).toBeGreaterThan(ROUNDS);
}, 60_000);

test('a commit that hangs is waited for a while, and no other commit waits long behind that', async () => {
  const hanging = await database.db.connect();
  await hanging.query('begin');
  await hanging.query('update reprise.partitions set head = head where partition = 63');
  const adding = addSink(database.db, row('patient'));
  await pause();
  const startedAt = Date.now();
  await commit(
    Array.from({ length: 20 }, (_one, k) => `behind-${k}`)
      .filter((id) => partitionOf('counter', id, 64) !== 63)
      .map((id) => counterCommand(id)),
  );
  const waitedMs = Date.now() - startedAt;
  await hanging.query('rollback');
  hanging.release();
  expect(await adding).toBe(true);
  expect(waitedMs).toBeLessThan(3_000);
  expect(await addSink(database.db, row('patient'))).toBe(false);
  expect(await removeSink(database.db, 'patient')).toBe(0);
  expect(await removeSink(database.db, 'patient')).toBeNull();
}, 30_000);
