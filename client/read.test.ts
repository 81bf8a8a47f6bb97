import type { Pool } from 'pg';
import { makeCommit } from '../activities/commit';
import { openPool } from '../db/pool';
import { counterCommand, counters } from '../test/support/counters';
import { testDatabase, type TestDatabase } from '../test/support/system';
import { readHistory, readState, readStateAt, type Moment } from './read';

const EVENTS = 450; // over two pages
let database: TestDatabase;
let db: Pool;
let rowsRead = 0;

beforeAll(async () => {
  database = await testDatabase();
  const commits = openPool({ url: database.urlOf('commit'), max: 1, applicationName: 'test' });
  const commit = makeCommit({ db: commits, model: counters, partitions: 64, wake: () => undefined });
  for (let n = 1; n <= EVENTS; n += 50) {
    await commit(
      Array.from({ length: 50 }, (_, k) => ({ ...counterCommand('long'), occurredAt: dayOf(n + k).toISOString() })),
    );
  }
  await commits.end();
  const read = openPool({ url: database.urlOf('read'), max: 1, applicationName: 'test' });
  db = {
    query: async (query: never) => {
      const answer = await (read.query(query) as unknown as Promise<{ rows: unknown[] }>);
      rowsRead += answer.rows.length;
      return answer;
    },
    end: () => read.end(),
  } as unknown as Pool;
});
afterAll(async () => {
  await db.end();
  await database.drop();
});

const dayOf = (version: number): Date => new Date(Date.UTC(2000, 0, version));
const at = (moment: Moment) => readStateAt(db, counters, counters.entities[0], 'long', moment);

test.each<[Moment, number | undefined, number]>([
  [1, 1, 1],
  [0, undefined, 0],
  [-1, undefined, 0],
  [200, 200, 200],
  [201, 201, 201],
  [EVENTS, EVENTS, EVENTS],
  [EVENTS + 1, undefined, EVENTS],
  [2 ** 40, undefined, EVENTS],
  [new Date(0), undefined, 200],
  [new Date(8.64e15), EVENTS, EVENTS],
  [{ occurred: dayOf(3) }, 3, 200],
  [{ occurred: dayOf(200) }, 200, 400],
])(
  'the state at %j is folded from its events, and no more than a page beyond is read',
  async (moment, version, read) => {
    rowsRead = 0;
    const found = await at(moment);
    expect(found?.version).toBe(version);
    expect(found?.state).toEqual(version === undefined ? undefined : { total: version });
    expect(rowsRead).toBe(read);
  },
);

test('a moment of recording is a prefix of the versions', async () => {
  const { rows } = await database.db.query<{ recorded_at: string; version: number }>(
    `select recorded_at, max(version) as version from reprise.events group by recorded_at order by 1`,
  );
  expect(rows.length).toBe(EVENTS / 50);
  for (const { recorded_at } of rows) {
    const moment = Date.parse(recorded_at);
    const recorded = rows.filter((row) => Date.parse(row.recorded_at) <= moment).map(({ version }) => version);
    expect((await at(new Date(moment)))?.version).toBe(Math.max(...recorded));
  }
});

test.each([
  ...[NaN, 1.5, Infinity, new Date(NaN), { occurred: new Date('x') }],
  ...[null, undefined, '2020', { occurred: '2020' }, {}], // what callers without types send
])('%p is no moment', async (moment) => {
  await expect(at(moment as Moment)).rejects.toThrow(/no moment/);
});

test.each(['a\0', '', 'a/b', null])('nothing is read of %j, which is no id', async (id) => {
  for (const read of [readState, readHistory]) {
    await expect(read(db, counters, counters.entities[0], id as string)).rejects.toThrow(/no id of an entity/);
  }
  await expect(readStateAt(db, counters, counters.entities[0], id as string, 1)).rejects.toThrow(RangeError);
});
