import { randomUUID } from 'node:crypto';
import { appendFileSync } from 'node:fs';
import { WorkflowFailedError } from '@temporalio/client';
import { z } from 'zod';
import { makeBackfills } from '../activities/backfill';
import { makeCommit } from '../activities/commit';
import { TAKE_EVENTS } from '../contracts/message';
import { openPool } from '../db/pool';
import { addSink } from '../db/sinks';
import { readBackfill, TakenOver } from '../db/backfills';
import { backfill, sqlQuery } from '../model/backfill';
import { TestSystem } from './support/system';
import {
  accounts,
  begin,
  bookings,
  both,
  bringIn,
  csvOf,
  makeFolder,
  move,
  open,
  readRejectsOf,
  truthOf,
} from './support/backfilling';
import { until } from './support/until';

let system: TestSystem<typeof accounts.entities>;
let folder: ReturnType<typeof makeFolder>;

beforeEach(async () => {
  folder = makeFolder();
  system = await TestSystem.open(accounts);
});
afterEach(async () => {
  await system.close();
  folder.remove();
});

test('rows become commands in the order of the file; what is refused or wrong is a line of the rejects file', async () => {
  await system.startBackfillWorker(both);
  const file = folder.write(
    'a.csv',
    csvOf([
      '1,a,open,0,ann',
      '2,a,move,10,"in, with a comma"',
      '3,b,move,5,too early',
      '4,b,open,0,"bob\nthe second"',
      '5,b,move,5,x',
      '6,a,move,-20,no cover',
      '7,a,move,ten,no number',
      '8,a,move,1,throw',
      '9,a,move,1,too,many',
      '10,a,move,1,a "quote" inside',
      ',a,move,1,no id',
      '12,a/b,move,1,bad id',
      '13,a,move,-10,all',
    ]),
  );
  const ended = await bringIn(system, { name: 'bookings', file });
  expect(ended).toMatchObject({ status: 'done', rows_read: 13, accepted: 5, repeated: 0, events: 5, rejected: 8 });
  expect(ended.done).toBe(ended.total);
  expect(readRejectsOf(file)).toMatchObject([
    { line: 4, row: 3, id: '3', command: 0, entity: 'account/b', code: 'account.not_open' },
    { line: 8, row: 6, id: '6', command: 0, entity: 'account/a', code: 'account.empty' },
    { line: 9, row: 7, id: null, code: 'reprise.row_invalid', message: 'by: a whole number' },
    { line: 10, row: 8, id: '8', code: 'reprise.map_threw', message: 'this mapping cannot go on' },
    { line: 11, row: 9, code: 'reprise.row_unreadable', message: expect.stringContaining('7 fields') },
    { line: 12, row: 10, code: 'reprise.row_unreadable', message: expect.stringContaining('quote') },
    { line: 13, row: 11, code: 'reprise.row_id_invalid' },
    { line: 14, row: 12, id: '12', code: 'reprise.map_invalid' },
  ]);
  const { events, states } = await truthOf(system);
  expect(events).toHaveLength(5);
  expect(events[0]).toMatchObject({
    entity_id: 'a',
    version: 1,
    origin: 'backfill',
    published_after: null,
    command_id: 'backfill/bookings/1/0',
    occurred_at: '1999-12-31T23:59:59Z',
    meta: { actor: 'backfill/bookings' },
  });
  expect(states).toMatchObject([
    { entity_id: 'a', version: 3, published_version: 0, state: { owner: 'ann', balance: 0 } },
    { entity_id: 'b', version: 2, state: { owner: 'bob\nthe second', balance: 5 } },
  ]);
  const again = await bringIn(system, { name: 'bookings', file });
  expect(again).toMatchObject({ status: 'done', accepted: 0, repeated: 5, events: 0, rejected: 8 });
  expect((await truthOf(system)).events).toEqual(events);
});

const lines = (all: readonly unknown[]) =>
  all.map((one) => `${typeof one === 'string' ? one : JSON.stringify(one)}\n`).join('');

test('lines of JSON become events by contract and evolve; those in the wrong order are rejected', async () => {
  await system.startBackfillWorker(both);
  const file = folder.write(
    'journal.ndjson',
    '\uFEFF' +
      lines([
        { n: 1, account: 'a', by: 5 }, // before it is opened
        { n: 2, account: 'a', open: 'ann' },
        '',
        { n: 3, account: 'a', by: -7 }, // no cover, but it has happened
        '{"n": 4, "account": "a", "by": 1',
        { n: 5, account: 'a', by: 1.5 },
        { n: 6, account: 'a', by: 1, text: 'a\u0000b' },
        { n: 7, account: 'a', by: 1, text: '\ud800' },
        { n: 3, account: 'a', by: 9 }, // an id used before, for another thing
        { n: 8, account: 'a', by: 2, text: 'x'.repeat(3_000_000) },
        { n: 9, account: 'a', by: 1, text: 'x'.repeat(17_000_000) },
      ]) +
      '{"n":10,"account":"a","by":4}',
  );
  const ended = await bringIn(system, { name: 'journal', file });
  expect(readRejectsOf(file)).toMatchObject([
    { line: 1, row: 1, id: '1', code: 'reprise.evolve_threw', message: 'an account begins with account.opened' },
    { line: 5, row: 4, code: 'reprise.row_unreadable', message: 'the line is not JSON' },
    { line: 6, row: 5, code: 'reprise.row_invalid' },
    { line: 7, row: 6, code: 'reprise.event_invalid', message: expect.stringContaining('NUL') as string },
    { line: 8, row: 7, code: 'reprise.event_invalid', message: expect.stringContaining('surrogate') as string },
    { line: 9, row: 8, id: '3', code: 'reprise.command_id_reused' },
    { line: 11, row: 10, code: 'reprise.row_unreadable', message: expect.stringContaining('longer than') as string },
  ]);
  expect(ended).toMatchObject({ status: 'done', rows_read: 11, accepted: 4, rejected: 7 });
  const { events, states } = await truthOf(system);
  expect(events.map(({ data }) => (data as { by?: number }).by)).toEqual([undefined, -7, 2, 4]);
  expect(events[0]).toMatchObject({ occurred_at: '2001-02-03T03:05:06.789012Z', command_id: 'backfill/journal/2/0' });
  expect(states).toMatchObject([{ version: 4, state: { owner: 'ann', balance: -1 } }]);
});

test('a dry run decides as the run after it does, and commits nothing', async () => {
  await system.startBackfillWorker(both);
  const rows = Array.from(
    { length: 12_000 },
    (_, n) => `${n},a${n % 900},${n < 900 ? 'open' : 'move'},${(n % 50) - 3},x`,
  );
  const file = folder.write('dry.csv', csvOf(rows));
  const dry = await bringIn(system, { name: 'bookings', file, dryRun: true });
  const rejects = readRejectsOf(file);
  expect(await truthOf(system)).toEqual({ events: [], states: [], commands: [] });
  const wet = await bringIn(system, { name: 'bookings', file });
  const facts = ({ rows_read, accepted, repeated, rejected, events }: typeof wet) => [
    rows_read,
    accepted,
    repeated,
    rejected,
    events,
  ];
  expect(facts(dry)).toEqual(facts(wet));
  expect(rejects.length).toBeGreaterThan(0);
  expect(readRejectsOf(file)).toEqual(rejects);
  const again = await bringIn(system, { name: 'bookings', file, dryRun: true });
  expect(again).toMatchObject({ accepted: 0, repeated: wet.accepted, rejected: wet.rejected });
}, 240_000);

test('live commands on the same entities go on meanwhile: each history is whole, and its rows are in the order of the file', async () => {
  await system.startEntityWorker();
  await system.startBackfillWorker(both);
  const client = await system.client();
  const names = Array.from({ length: 8 }, (_, n) => `a${n}`);
  for (const name of names) await client.account(name).send(open({ owner: name }));
  const rows = Array.from({ length: 20_000 }, (_, n) => `${n},a${n % 8},move,${n + 1},brought`);
  const { handle } = await begin(system, { name: 'bookings', file: folder.write('hot.csv', csvOf(rows)) });
  let over = false;
  const ended = handle.result().finally(() => (over = true));
  let sent = 0;
  const live = async (name: string) => {
    for (; !over; sent++) {
      const answer = await client.account(name).send(move({ by: 1, text: 'live' }));
      expect(answer.outcome).toBe('accepted');
    }
  };
  await Promise.all(names.map(live));
  expect(await ended).toMatchObject({ status: 'done', accepted: 20_000, rejected: 0 });
  const { events, states } = await truthOf(system);
  expect(sent).toBeGreaterThan(0);
  expect(events).toHaveLength(names.length + sent + 20_000);
  const entity = accounts.entities[0];
  for (const name of names) {
    const own = events.filter(({ entity_id }) => entity_id === name);
    expect(own.map(({ version }) => version as number)).toEqual(own.map((_, n) => n + 1));
    const brought = own.filter(({ origin }) => origin === 'backfill').map(({ data }) => (data as { by: number }).by);
    expect(brought).toEqual([...brought].sort((one, other) => one - other));
    const folded = own.reduce<unknown>((state, { type, data }) => entity.evolve(state, { type, data }), entity.initial);
    expect(states.find(({ entity_id }) => entity_id === name)).toMatchObject({ version: own.length, state: folded });
  }
  const { rows: gaps } = await system.db.query(
    `select p.partition from reprise.partitions p
     left join (select partition, count(*) as n, max("offset") as last from reprise.events group by partition) e using (partition)
     where p.head <> coalesce(e.n, 0) or p.head <> coalesce(e.last, 0)`,
  );
  expect(gaps).toEqual([]);
}, 240_000);

test('nothing is published unless asked for; what is said later names the version published before', async () => {
  await addSink(system.db, { sink: 'bus', kind: 'nats', options: {} });
  await system.startEntityWorker();
  await system.startBackfillWorker(both);
  const outbox = async () => {
    const { rows } = await system.db.query<{
      message: { entityversion: number; previousversion: number; time: string };
    }>('select message from reprise.outbox order by created_at, "offset"');
    return rows.map(({ message: { entityversion, previousversion, time } }) => [
      entityversion,
      previousversion,
      time.slice(0, 4),
    ]);
  };
  await bringIn(system, { name: 'bookings', file: folder.write('a.csv', csvOf(['1,a,open,0,ann', '2,a,move,1,x'])) });
  expect(await outbox()).toEqual([]);
  const client = await system.client();
  await client.account('a').send(move({ by: 1 }), { occurredAt: '2020-01-01T00:00:00Z' });
  expect(await outbox()).toEqual([[3, 0, '2020']]);
  const asked = folder.write('b.csv', csvOf(['3,a,move,1,y', '4,a,move,1,z']));
  await bringIn(system, { name: 'bookings', file: asked, publish: true });
  expect(await outbox()).toEqual([
    [3, 0, '2020'],
    [4, 3, '1999'],
    [5, 4, '1999'],
  ]);
});

test('its rate holds in every second, and is changed while it runs; it pauses within a second, and goes on behind its place', async () => {
  await system.startBackfillWorker(both);
  const rows = Array.from({ length: 4_000 }, (_, n) => `${n},a${n},open,0,x`);
  const file = folder.write('paced.csv', csvOf(rows));
  const { run, handle } = await begin(system, { name: 'bookings', file, rate: 100 });
  const accepted = async () => (await readBackfill(system.db, run))?.accepted ?? 0;
  await until(async () => (await accepted()) > 150, { what: '150 are in' });
  await handle.executeUpdate('throttle', { args: [400] });
  const changedAt = await accepted();
  await until(async () => (await accepted()) > changedAt + 800, { what: '800 more are in' });
  await handle.executeUpdate('pause');
  await until(async () => ((await handle.query('status')) as { wanted: string } | null)?.wanted === 'pause', {
    what: 'paused',
  });
  await until(async () => ((await handle.describe()).raw.pendingActivities ?? []).length === 0, {
    what: 'nobody brings',
  });
  const pausedAt = await accepted();
  expect(pausedAt).toBeLessThan(4_000);
  await expect(handle.executeUpdate('throttle', { args: [0] })).rejects.toThrow();
  await handle.executeUpdate('throttle', { args: [null] });
  expect(await accepted()).toBe(pausedAt);
  await handle.executeUpdate('resume');
  expect(await handle.result()).toMatchObject({ status: 'done', accepted: 4_000, repeated: 0, rejected: 0 });
  const { rows: windows } = await system.db.query<{ most: number }>(
    `select max(n) as most from (
       select count(*) over (order by recorded_at range between interval '1 second' preceding and current row) as n
       from (select recorded_at from reprise.events order by recorded_at limit $1::bigint) e) w`,
    [changedAt],
  );
  expect(windows[0]?.most).toBeLessThanOrEqual(110);
}, 90_000);

test('a query is brought in by its key, in pages, and its address is kept nowhere', async () => {
  await system.db.query(
    `create table public.old (id bigint, account text, by integer);
     insert into public.old select n, 'a' || n % 10, n from generate_series(1, 5000) n;
     insert into public.old values (7000, 'a1', -1)`,
  );
  const row = z.object({ id: z.int(), account: z.string(), by: z.int() });
  const [entity] = accounts.entities;
  const old = backfill('old', {
    source: sqlQuery({ urlVariable: 'OLD_DATABASE_URL', query: 'select id, account, by from public.old', key: 'id' }),
    row,
    id: ({ id }) => String(id),
    map: ({ id, account, by }) => [
      {
        entity,
        id: account,
        occurredAt: '2000-01-01T00:00:00Z',
        command: id <= 10 ? open({ owner: 'x' }) : move({ by }),
      },
    ],
  });
  await system.startBackfillWorker([old], { env: { OLD_DATABASE_URL: system.database.url } });
  const ended = await bringIn(system, { name: 'old', file: null, rejectsFile: `${folder.dir}/old.rejects.ndjson` });
  expect(ended).toMatchObject({ status: 'done', rows_read: 5_001, total: 5_001, accepted: 5_001, rejected: 0 });
  expect(await bringIn(system, { name: 'old', file: null })).toMatchObject({ accepted: 0, repeated: 5_001 });
  const { rows: kept } = await system.db.query('select * from reprise.backfills');
  expect(JSON.stringify(kept)).not.toContain(new URL(system.database.url).password);
  await system.db.query('insert into public.old values (7000, $1, 1)', ['a2']);
  await expect(bringIn(system, { name: 'old', file: null })).rejects.toMatchObject({
    cause: { cause: { message: expect.stringMatching(/key 'id' is not unique/) as string } },
  });
}, 90_000);

test('what cannot be brought in ends the run with its reason', async () => {
  await system.startBackfillWorker([bookings]);
  const reasonOf = async (wanted: Parameters<typeof bringIn>[1]) => {
    const error: unknown = await bringIn(system, wanted).catch((failure: unknown) => failure);
    return error instanceof WorkflowFailedError
      ? `${String((error.cause?.cause as Error | undefined)?.message)}`
      : error;
  };
  expect(await reasonOf({ name: 'journal', file: '/x' })).toMatch(/has no backfill 'journal': it has bookings/);
  expect(await reasonOf({ name: 'bookings', file: `${folder.dir}/none` })).toMatch(
    /cannot be read by the backfill worker/,
  );
  expect(await reasonOf({ name: 'bookings', file: folder.write('empty.csv', '') })).toMatch(/the file is empty/);
  expect(await reasonOf({ name: 'bookings', file: folder.write('twice.csv', 'id,id\n1,2\n') })).toMatch(
    /two columns are named 'id'/,
  );
  const utf16 = folder.write('utf16.csv', Buffer.from('\uFEFFid\n1', 'utf16le'));
  expect(await reasonOf({ name: 'bookings', file: utf16 })).toMatch(/UTF-16/);
});

test('a second of the same name is refused with the running one; a file that changes meanwhile ends the run', async () => {
  await system.startBackfillWorker(both);
  const file = folder.write('slow.csv', csvOf(Array.from({ length: 500 }, (_, n) => `${n},a${n},open,0,x`)));
  const { run, handle } = await begin(system, { name: 'bookings', file, rate: 20 });
  const { firstExecutionRunId } = handle as unknown as { firstExecutionRunId: string };
  await expect(begin(system, { name: 'bookings', file })).rejects.toThrow(`as run ${firstExecutionRunId}`);
  await until(async () => ((await readBackfill(system.db, run))?.accepted ?? 0) > 0, { what: 'some are in' });
  appendFileSync(file, '900,a,open,0,late,1999-12-31T23:59:59Z\n');
  await expect(handle.result()).rejects.toBeInstanceOf(WorkflowFailedError);
  const failed = await readBackfill(system.db, run);
  expect(failed).toMatchObject({
    status: 'failed',
    error: expect.stringMatching(/not what it was when the run began/) as string,
  });
  expect(await bringIn(system, { name: 'bookings', file })).toMatchObject({
    status: 'done',
    rows_read: 501,
    rejected: 0,
  });
  expect((await truthOf(system)).events).toHaveLength(501);
}, 90_000);

test('an owner that was thought dead is fenced: what it does after another took over is undone, and nothing is twice', async () => {
  const db = openPool({ url: system.database.urlOf('commit'), max: 12, applicationName: 'test' });
  const owner = makeBackfills({
    ...{ db, model: accounts, backfills: both, partitions: 64, env: {} },
    wake: () => undefined,
  });
  const file = folder.write(
    'fenced.csv',
    csvOf(Array.from({ length: 3_000 }, (_, n) => `${n},a${n % 300},${n < 300 ? 'open' : 'move'},1,x`)),
  );
  const run = randomUUID();
  const input = { run, name: 'bookings', file, dryRun: false, publish: false, rate: 500, rejectsFile: null };
  await owner.openRun(input);
  const of = { signal: new AbortController().signal, heartbeat: () => undefined };
  const zombie = owner.bring({ run }, of).catch((error: unknown) => error);
  await until(async () => ((await readBackfill(system.db, run))?.accepted ?? 0) > 200, {
    what: 'the first owner is at it',
  });
  await owner.steer({ run, rate: null });
  const second = await owner.bring({ run }, of);
  const fenced = await zombie;
  expect(fenced instanceof TakenOver || (fenced as { code?: string }).code === 'RP002').toBe(true);
  expect(second).toMatchObject({
    end: 'done',
    progress: { accepted: 3_000, repeated: 0, rows_read: 3_000, rejected: 0 },
  });
  expect((await truthOf(system)).states.map(({ version }) => version as number)).toEqual(
    Array.from({ length: 300 }, () => 10),
  );
  await db.end();
});

test('events that were decided elsewhere come in by a backfill alone: sent live, they are an unknown command', async () => {
  const db = openPool({ url: system.database.urlOf('commit'), max: 2, applicationName: 'test' });
  const commit = makeCommit({ db, model: accounts, partitions: 64, wake: () => undefined });
  const opened = accounts.event('account.opened');
  const data = [{ kind: 'event', type: 'account.opened', schemaVersion: opened?.version, data: { owner: 'mallory' } }];
  const { outcomes } = await commit([
    { entityType: 'account', entityId: 'a', commandId: 'c', name: TAKE_EVENTS, version: 1, data },
  ]);
  expect(outcomes).toMatchObject([{ outcome: 'failed', code: 'reprise.command_unknown' }]);
  expect((await truthOf(system)).events).toEqual([]);
  await db.end();
});
