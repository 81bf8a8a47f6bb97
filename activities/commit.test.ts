import { createHash } from 'node:crypto';
import { z } from 'zod';
import { command } from '../contracts/command';
import { event } from '../contracts/event';
import type { CommandMessage } from '../contracts/message';
import { openPool } from '../db/pool';
import { entity } from '../model/entity';
import { model, type Model } from '../model/model';
import { partitionOf } from '../model/partition';
import { refuse } from '../model/refusal';
import { testDatabase, type TestDatabase } from '../test/support/system';
import { until } from '../test/support/until';
import { makeGroupCommit } from '../workers/group-commit';
import { makeCommit, type Commit } from './commit';
import { bodyHash } from './commit/body-hash';

const added = event('counter.added', { data: z.object({ by: z.number(), note: z.unknown().optional() }) });
const hidden = event('counter.hidden', { data: z.object({}), visibility: 'private' });
const add = command('add', { data: z.object({ by: z.number().default(1), note: z.unknown().optional() }) });
const hide = command('hide', { data: z.object({}) });
const nothing = command('do-nothing', { data: z.object({}) });

const counterOf = (version: number, evolveAdded: (total: number, by: number) => number = (total, by) => total + by) =>
  entity('counter', {
    version,
    commands: [add, hide, nothing],
    events: [added, hidden],
    refusals: { 'counter.negative': 'A counter only goes up.' },
    initial: { total: 0 },
    decide: {
      add: (_state, { by, note }) => {
        if (by === 13) throw new Error('unlucky');
        return by < 0 ? refuse('counter.negative') : [added(note === undefined ? { by } : { by, note })];
      },
      hide: () => [hidden({})],
      'do-nothing': () => [],
    },
    evolve: {
      'counter.added': (state, { by }) => ({ total: evolveAdded(state.total, by) }),
      'counter.hidden': (state) => state,
    },
  });

const counters = model({ entities: [counterOf(1)] });
const PARTITIONS = 64;

let database: TestDatabase;
let commit: Commit;
const pools: { end: () => Promise<void> }[] = [];

const committer = (of: Model = counters): Commit => {
  const db = openPool({ url: database.urlOf('commit'), max: 4, applicationName: 'test' });
  pools.push(db);
  return makeCommit({ db, model: of, partitions: PARTITIONS, wake: () => undefined });
};

beforeAll(async () => {
  database = await testDatabase();
  commit = committer();
});
afterAll(async () => {
  await Promise.all(pools.map((pool) => pool.end()));
  await database.drop();
});

let nth = 0;
const message = (entityId: string, data: unknown = {}, more: Partial<CommandMessage> = {}): CommandMessage => ({
  entityType: 'counter',
  entityId,
  commandId: `c${++nth}`,
  name: 'add',
  version: 1,
  data,
  ...more,
});
const stateOf = async (id: string) =>
  (
    await database.db.query<{
      version: number;
      state: { total: number };
      definition: number;
      published_version: number;
    }>(
      `select version, state, definition, published_version from reprise.entities where entity_type = 'counter' and entity_id = $1`,
      [id],
    )
  ).rows[0];
const eventsOf = async (id: string) =>
  (
    await database.db.query<{ version: number; published_after: number | null; recorded_at: string; data: unknown }>(
      `select version, published_after, recorded_at, data from reprise.events where entity_type = 'counter' and entity_id = $1 order by version`,
      [id],
    )
  ).rows;
const answersOf = async (id: string) =>
  (
    await database.db.query<{ command_id: string; outcome: string; refusal_code: string | null }>(
      `select command_id, outcome, refusal_code from reprise.commands where entity_id = $1 order by command_id`,
      [id],
    )
  ).rows;

// All that the doors let through PostgreSQL takes, as far as we know: here it is told to refuse a number.
const REFUSED_BY_POSTGRESQL = 777;
const refuseIt = () =>
  database.db.query(
    `alter table reprise.events add constraint refused check (data ->> 'by' is distinct from '${REFUSED_BY_POSTGRESQL}')`,
  );
const tooDeep = (): unknown => JSON.parse('['.repeat(7_000) + ']'.repeat(7_000));

test('a batch of ten with one refusal and one failure commits eight', async () => {
  const batch = Array.from({ length: 10 }, (_, n) => message('ten', { by: n === 3 ? -1 : n === 7 ? 13 : 1 }));
  const { outcomes } = await commit(batch);
  expect(outcomes.map(({ outcome }) => outcome)).toEqual(
    Array.from({ length: 10 }, (_, n) => (n === 3 ? 'refused' : n === 7 ? 'failed' : 'accepted')),
  );
  expect(outcomes[7]).toMatchObject({ code: 'reprise.decide_threw' });
  expect(await stateOf('ten')).toMatchObject({ version: 8, state: { total: 8 } });
});

test('data that PostgreSQL refuses fails its command alone, and is found among its neighbours', async () => {
  await refuseIt();
  const batch = Array.from({ length: 10 }, (_, n) =>
    message(n < 5 ? 'half-a' : 'half-b', { by: n === 4 ? REFUSED_BY_POSTGRESQL : 1 }),
  );
  const { outcomes } = await commit(batch);
  expect(outcomes.map(({ outcome }) => outcome)).toEqual(
    Array.from({ length: 10 }, (_, n) => (n === 4 ? 'failed' : 'accepted')),
  );
  expect(outcomes[4]).toMatchObject({ code: 'reprise.data_refused' });
  expect(await stateOf('half-a')).toMatchObject({ version: 4 });
  expect(await stateOf('half-b')).toMatchObject({ version: 5 });
});

test('a failed command is an answer, not a verdict: sent again it is decided anew and replaces the failure', async () => {
  const failing = message('anew', { by: 13 });
  expect((await commit([failing])).outcomes[0]).toMatchObject({ outcome: 'failed' });
  const mended = committer(model({ entities: [{ ...counterOf(1), decide: () => [added({ by: 13 })] }] }));
  expect((await mended([failing])).outcomes[0]).toMatchObject({ outcome: 'accepted', lastVersion: 1 });
  expect(await answersOf('anew')).toEqual([{ command_id: failing.commandId, outcome: 'accepted', refusal_code: null }]);
});

test.each([
  ['a NUL', { by: 1, note: 'a\u0000b' }],
  ['a lone surrogate', { by: 1, note: '\ud800' }],
  ['the wrong type', { by: 'one' }],
  ['nesting that would exhaust a stack', { by: 1, note: tooDeep() }],
])('%s stops at the zod door with a stable code', async (_what, data) => {
  const { outcomes } = await commit([message('door', data)]);
  expect(outcomes[0]).toMatchObject({ outcome: 'failed', code: 'reprise.command_invalid' });
});

test('an unknown command, a newer version and a name of every object fail with a stable code', async () => {
  const { outcomes } = await commit([
    message('unknown', {}, { name: 'explode' }),
    message('unknown', {}, { version: 9 }),
    message('unknown', {}, { name: '__proto__' }),
    message('unknown', {}, { name: 'toString' }),
  ]);
  expect(outcomes.map((outcome) => outcome.outcome === 'failed' && outcome.code)).toEqual(
    Array(4).fill('reprise.command_unknown'),
  );
});

test('a moved version is loaded and decided again, never answered from the cache', async () => {
  const other = committer();
  await commit([message('moved')]); // now cached here
  await other([message('moved'), message('moved')]);
  const { outcomes } = await commit([message('moved')]);
  expect(outcomes[0]).toMatchObject({ outcome: 'accepted', lastVersion: 4 });
  expect(await stateOf('moved')).toMatchObject({ state: { total: 4 } });
});

test('a refusal is compared too: one decided on a cached state that has moved is decided again', async () => {
  const guarded = () =>
    model({
      entities: [
        {
          ...counterOf(1),
          refusals: { 'counter.full': 'full' } as never,
          decide: (state: unknown) =>
            (state as { total: number }).total >= 2 ? refuse('counter.full') : [added({ by: 1 })],
        },
      ],
    });
  const [one, two] = [committer(guarded()), committer(guarded())];
  await one([message('refuse')]);
  await two([message('refuse')]); // full now; `one` has 1 in its cache
  expect((await one([message('refuse')])).outcomes[0]).toMatchObject({
    outcome: 'refused',
    code: 'counter.full',
    lastVersion: 2,
  });
});

test('two writers at once on one entity lose nothing and repeat nothing', async () => {
  const writers = [committer(), committer(), committer()];
  await Promise.all(
    Array.from({ length: 30 }, (_, n) =>
      until(async () => (await writers[n % 3]?.([message('race')]).catch(() => null)) ?? null, { what: 'a commit' }),
    ),
  );
  const state = await stateOf('race');
  expect(state?.version).toBe(state?.state.total);
  expect(state?.version).toBeGreaterThanOrEqual(30);
});

test('a repeat inside one batch gets the first answer, with its offset', async () => {
  const once = message('twice');
  const { outcomes } = await commit([once, once]);
  expect(outcomes[0]).toMatchObject({ outcome: 'accepted', lastVersion: 1 });
  expect(outcomes[1]).toMatchObject({ outcome: 'accepted', lastVersion: 1, repeated: true });
  expect(outcomes[1]).toHaveProperty('offset', (outcomes[0] as { offset: number }).offset);
});

test('defaults change no body hash: what was sent is what is compared', async () => {
  const sent = message('hash', {});
  await commit([sent]);
  expect((await commit([{ ...sent, data: { by: 1 } }])).outcomes[0]).toMatchObject({
    code: 'reprise.command_id_reused',
  });
});

test('the same id with another occurredAt is another body; another meta is not', async () => {
  const sent = message('when', {}, { occurredAt: '1996-07-04T00:00:00Z' });
  await commit([sent]);
  const again = async (changed: Partial<typeof sent>) => (await commit([{ ...sent, ...changed }])).outcomes[0];
  expect(await again({ meta: { actor: 'retry' } })).toMatchObject({ outcome: 'accepted', repeated: true });
  expect(await again({ occurredAt: '1996-07-05T00:00:00Z' })).toMatchObject({ code: 'reprise.command_id_reused' });
});

test('without a time the body hash is that of name, version and data: it lies in databases', () => {
  const hash = createHash('sha256').update('["add",1,{"by":2}]').digest('hex');
  expect(bodyHash(message('x', { by: 2 }))).toBe(hash);
});

test('a decision to do nothing is recorded, and an entity without events has no row', async () => {
  const { outcomes, settled } = await commit([message('idle', {}, { name: 'do-nothing' })]);
  expect(outcomes[0]).toMatchObject({ outcome: 'accepted', firstVersion: null, lastVersion: 0, offset: null });
  expect(settled).toEqual([true]);
  expect(await stateOf('idle')).toBeUndefined();
  expect(await answersOf('idle')).toHaveLength(1);
});

test('published_after names the version published before, and is null for a private event', async () => {
  await commit([message('pub'), message('pub', {}, { name: 'hide' }), message('pub')]);
  expect((await eventsOf('pub')).map(({ published_after }) => published_after)).toEqual([0, null, 1]);
  expect(await stateOf('pub')).toMatchObject({ published_version: 3 });
});

test('a state folded by another definition is folded again from its events, up and down', async () => {
  await commit([message('fold', { by: 2 }), message('fold', { by: 3 })]);
  const doubling = committer(model({ entities: [counterOf(2, (total, by) => total + 2 * by)] }));
  await doubling([message('fold', { by: 1 })]);
  expect(await stateOf('fold')).toMatchObject({ definition: 2, state: { total: 12 } });
  await commit([message('fold', { by: 1 })]);
  expect(await stateOf('fold')).toMatchObject({ definition: 1, state: { total: 7 } });
});

test('an event that only newer code knows stops the writer instead of losing it', async () => {
  await commit([message('behind')]);
  const older = committer(model({ entities: [{ ...counterOf(2), events: [hidden] } as never] }));
  await expect(older([message('behind')])).rejects.toMatchObject({ name: 'BehindCode' });
});

test('recorded_at never falls within an entity', async () => {
  for (let n = 0; n < 5; n++) await commit([message('time')]);
  await database.db.query(
    `update reprise.entities set updated_at = now() + interval '1 hour' where entity_id = 'time'`,
  );
  await committer()([message('time')]);
  await committer()([message('time')]);
  const times = (await eventsOf('time')).map(({ recorded_at }) => recorded_at);
  expect([...times].sort()).toEqual(times);
});

describe('invariant 3: atomic', () => {
  test('invariant 3: with a sink declared, each published event has its outbox row, in the same transaction', async () => {
    await database.db.query(`insert into reprise.sinks (sink, kind) values ('bus', 'nats')`);
    await commit([message('bus'), message('bus', {}, { name: 'hide' })]);
    const { rows } = await database.db.query<{ message: Record<string, unknown> }>(
      `select message from reprise.outbox where key = 'bus'`,
    );
    expect(rows).toHaveLength(1);
    expect(rows[0]?.message).toMatchObject({
      specversion: '1.0',
      type: 'counter.added',
      subject: 'bus',
      entityversion: 1,
      previousversion: 0,
    });
    await database.db.query(`delete from reprise.sinks`);
  });

  test('invariant 3: a transaction that fails in its last step leaves nothing, not even an offset', async () => {
    await database.db.query(`insert into reprise.sinks (sink, kind) values ('bus', 'nats')`);
    await database.db.query(`alter table reprise.outbox add constraint broken check (key <> 'atomic')`);
    const before = await database.db.query(`select sum(head) as heads from reprise.partitions`);
    expect((await commit([message('atomic')])).outcomes[0]).toMatchObject({
      outcome: 'failed',
      code: 'reprise.data_refused',
    });
    expect(await eventsOf('atomic')).toEqual([]);
    expect(await stateOf('atomic')).toBeUndefined();
    const after = await database.db.query(`select sum(head) as heads from reprise.partitions`);
    expect(after.rows).toEqual(before.rows);
    await database.db.query(`alter table reprise.outbox drop constraint broken`);
    await database.db.query(`delete from reprise.sinks`);
  });
});

test('a head held by another transaction holds up its own partition only', async () => {
  const held = partitionOf('counter', 'head-held', PARTITIONS);
  const free =
    Array.from({ length: 100 }, (_, n) => `free-${n}`).find((id) => partitionOf('counter', id, PARTITIONS) !== held) ??
    '';
  const holder = await database.db.connect();
  await holder.query('begin');
  await holder.query('select from reprise.partitions where partition = $1 for update', [held]);
  const waiting = committer()([message('head-held')]);
  await committer()([message(free)]);
  expect(await eventsOf('head-held')).toEqual([]);
  await holder.query('commit');
  holder.release();
  expect((await waiting).outcomes[0]).toMatchObject({ outcome: 'accepted' });
});

test('a held partition holds up no other order of the same worker, however many of its own wait', async () => {
  const held = partitionOf('counter', 'head-held', PARTITIONS);
  const ids = Array.from({ length: 3_000 }, (_, n) => `shared-${n}`);
  const waitingIds = ids.filter((id) => partitionOf('counter', id, PARTITIONS) === held).slice(0, 20);
  const freeIds = ids.filter((id) => partitionOf('counter', id, PARTITIONS) !== held).slice(0, 40);
  const group = await makeGroupCommit(counters, database.urlOf('commit'));
  const holder = await database.db.connect();
  await holder.query('begin');
  await holder.query('select from reprise.partitions where partition = $1 for update', [held]);
  const waiting = Promise.all(waitingIds.map((id) => group.commit([message(id)])));
  const free = await Promise.all(freeIds.map((id) => group.commit([message(id)])));
  expect(free.every(({ outcomes }) => outcomes[0]?.outcome === 'accepted')).toBe(true);
  expect(await Promise.all(waitingIds.map(stateOf))).toEqual(waitingIds.map(() => undefined));
  await holder.query('commit');
  holder.release();
  expect((await waiting).every(({ outcomes }) => outcomes[0]?.outcome === 'accepted')).toBe(true);
  await group.close();
});

test('what stops one order of a shared transaction is not its neighbours trouble', async () => {
  await committer()([message('of-newer-code')]);
  await database.db.query(
    `update reprise.entities set definition = 99 where entity_id = 'of-newer-code';
     alter table reprise.events disable trigger events_append_only;
     update reprise.events set schema_version = 99 where entity_id = 'of-newer-code';
     alter table reprise.events enable trigger events_append_only`,
  );
  const group = await makeGroupCommit(counters, database.urlOf('commit'));
  const ids = Array.from({ length: 20 }, (_, n) => `neighbour-${n}`);
  const [behind, ...answers] = await Promise.allSettled(
    ['of-newer-code', ...ids].map((id) => group.commit([message(id)])),
  );
  expect(behind).toMatchObject({ status: 'rejected', reason: { name: 'BehindCode' } });
  expect(answers.map(({ status }) => status)).toEqual(ids.map(() => 'fulfilled'));
  await group.close();
});

test('an evolve that throws on what lies in the log fails the commands of that entity only', async () => {
  await committer()([message('unfoldable', { by: 666 })]);
  const broken = counterOf(2, (_total, by) => {
    if (by === 666) throw new Error('a number of the beast');
    return by;
  });
  const again = committer(model({ entities: [broken] }));
  for (const beside of ['beside-unfoldable', 'beside-unfoldable-again']) {
    const { outcomes } = await again([message('unfoldable'), message(beside)]);
    expect(outcomes).toMatchObject([{ outcome: 'failed', code: 'reprise.evolve_threw' }, { outcome: 'accepted' }]);
  }
  expect(await stateOf('unfoldable')).toMatchObject({ version: 1, definition: 1, state: { total: 666 } });
});

test.each([
  ['a Date in a state', new Date(0)],
  ['not a number', NaN],
  ['a Map', new Map([[1, 2]])],
])('%s would come back as something else: the command fails alone', async (_what, value) => {
  const dated = counterOf(1, () => value as unknown as number);
  const { outcomes } = await committer(model({ entities: [dated] }))([message('dated'), message('dated', { by: -1 })]);
  expect(outcomes).toMatchObject([{ outcome: 'failed', code: 'reprise.evolve_threw' }, { outcome: 'refused' }]);
});

test.each(['nul\u0000', 'half\ud800', ''])('an id that no client lets through (%j) fails alone', async (id) => {
  const { outcomes } = await committer()([message(id), message('beside-a-bad-id')]);
  expect(outcomes.map(({ outcome }) => outcome)).toEqual(['failed', 'accepted']);
});

describe('invariant 20: append only', () => {
  test.each(['commit', 'project', 'read'] as const)(
    'invariant 20: reprise_%s can neither change nor remove an event',
    async (role) => {
      await commit([message('append')]);
      const db = openPool({ url: database.urlOf(role), max: 1, applicationName: 'test' });
      for (const change of [
        `update reprise.events set data = '{}'`,
        'delete from reprise.events',
        'truncate reprise.events',
      ]) {
        await expect(db.query(change)).rejects.toMatchObject({ code: '42501' });
      }
      await db.end();
    },
  );

  test('invariant 20: the owner is stopped by the trigger', async () => {
    for (const change of [
      `update reprise.events set data = '{}'`,
      'delete from reprise.events',
      'truncate reprise.events',
    ]) {
      await expect(database.db.query(change)).rejects.toMatchObject({ code: '42501' });
    }
  });

  test('invariant 20: who reads cannot write, and who projects cannot write truth', async () => {
    const writes = {
      read: [
        `update reprise.partitions set head = 0`,
        `insert into reprise.skips values ('x', gen_random_uuid(), 'r', 'a')`,
      ],
      project: [
        `update reprise.partitions set head = 0`,
        `delete from reprise.commands`,
        `insert into reprise.outbox select * from reprise.outbox`,
      ],
      commit: [
        `delete from reprise.commands`,
        `update reprise.checkpoints set next_offset = 1`,
        `delete from reprise.outbox`,
      ],
    } as const;
    for (const role of ['read', 'project', 'commit'] as const) {
      const db = openPool({ url: database.urlOf(role), max: 1, applicationName: 'test' });
      for (const write of writes[role]) await expect(db.query(write)).rejects.toMatchObject({ code: '42501' });
      await db.end();
    }
  });
});

test('invariant 4: after all of this versions and offsets are gapless', async () => {
  await committer()(['gapless-a', 'gapless-b', 'gapless-a'].map((id) => message(id)));
  const { rows } = await database.db.query(
    `select 'entity' as what from reprise.events group by entity_type, entity_id having count(*) <> max(version)
     union all
     select 'partition' from reprise.partitions p left join reprise.events e using (partition)
     group by p.partition, p.head having count(e.*) <> p.head or coalesce(max(e."offset"), 0) <> p.head`,
  );
  expect(rows).toEqual([]);
});
