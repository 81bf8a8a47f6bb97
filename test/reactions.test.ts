import { makeCommit } from '../activities/commit';
import { recoverReactions } from '../activities/react/recover';
import { makeStarter } from '../activities/react/start';
import type { RecordedEvent } from '../contracts/event';
import { readParked, requestRedrive, skipParked } from '../db/parked';
import { openPool } from '../db/pool';
import { openReruns, readReactionRuns, readReactionStatus } from '../db/reactions';
import { GiveUp, reaction, RetryLater, type AnyReaction, type ReactionContext } from '../model/reaction';
import { counterCommand, counters } from './support/counters';
import { TestSystem } from './support/system';
import { until } from './support/until';

const [added] = counters.entities[0]?.events ?? [];
const ofAdded = added as never;

let system: TestSystem<typeof counters.entities>;
let db: ReturnType<typeof openPool>;
let commit: ReturnType<typeof makeCommit>;

beforeEach(async () => {
  system = await TestSystem.open(counters);
  db = openPool({ url: system.database.urlOf('commit'), max: 4, applicationName: 'test' });
  commit = makeCommit({ db, model: counters, partitions: 64, wake: () => undefined });
});
afterEach(async () => {
  await system.close();
  await db.end();
});

interface Call {
  readonly entityId: string;
  readonly by: number;
  readonly key: string;
  readonly attempt: number;
}

/** A handler that keeps a journal, as the outside would. */
function recording(calls: Call[], act: (call: Call, context: ReactionContext) => unknown = () => undefined) {
  return async (event: RecordedEvent, context: ReactionContext): Promise<void> => {
    const { idempotencyKey: key, attempt } = context;
    const call = { entityId: event.entityId, by: (event.data as { by: number }).by, key, attempt };
    calls.push(call);
    await act(call, context);
  };
}
const declare = (name: string, more: object): AnyReaction =>
  reaction(name, { on: [ofAdded], idempotency: 'key', retry: { firstMs: 20, attempts: 3 }, ...more } as never);

const statusOf = async (name: string) =>
  (await readReactionStatus(system.db)).find((row) => row.reaction === name) ?? {
    ...{ lag_events: -1, open: -1, done: -1, parked: -1, skipped: -1 },
  };
const atRest = (name: string) =>
  until(
    async () => {
      const { lag_events, open } = await statusOf(name);
      return lag_events === 0 && open === 0;
    },
    { what: `${name} is at rest` },
  );
/** As after a crash between the starts and the checkpoint. */
const seeAllAgain = (name: string) =>
  system.db.query(`update reprise.checkpoints set next_offset = 1, epoch = epoch + 1 where consumer = $1`, [
    `reaction/${name}`,
  ]);

test('a handler runs once per event, whatever is seen again, also when Temporal has forgotten the run', async () => {
  const calls: Call[] = [];
  const tell = declare('tell', { handle: recording(calls), from: 'beginning' });
  const running = await system.startReactions([tell]);
  await commit([counterCommand('a', { by: 1 }), counterCommand('a', { by: 2 }), counterCommand('b', { by: 3 })]);
  await commit([counterCommand('a', {}, 'hide')]);
  await until(() => calls.length === 3, { what: 'three calls' });
  await atRest('tell');
  expect(calls.map(({ key }) => key).sort()).toEqual([
    'reaction/tell/counter/a/1',
    'reaction/tell/counter/a/2',
    'reaction/tell/counter/b/1',
  ]);
  await seeAllAgain('tell');
  await atRest('tell');
  await running.stop();
  await seeAllAgain('tell');
  await system.startReactions([tell], { idPrefix: `${system.name}forgetful-` }); // none of those workflow ids is known there
  await atRest('tell');
  expect(calls).toHaveLength(3);
  expect(await statusOf('tell')).toMatchObject({ done: 3, open: 0, parked: 0 });
});

test('a new reaction begins at head: 1,000 old events, 0 starts; one that asks for it begins at the first', async () => {
  await commit(Array.from({ length: 500 }, (_, n) => counterCommand(`old-${n % 50}`, { by: n })));
  await commit(Array.from({ length: 500 }, (_, n) => counterCommand(`old-${n % 50}`, { by: n })));
  const calls: Call[] = [];
  await system.startReactions([declare('newcomer', { handle: recording(calls) })]);
  await commit([counterCommand('new', { by: 7 })]);
  await until(() => calls.length > 0, { what: 'the new event' });
  await atRest('newcomer');
  expect(calls.map(({ entityId }) => entityId)).toEqual(['new']);
});

test('what was brought in from elsewhere starts nothing', async () => {
  const calls: Call[] = [];
  await system.startReactions([declare('silent', { handle: recording(calls), from: 'beginning' })]);
  await system.db.query(
    `with raised as (update reprise.partitions set head = 1 where partition = 5)
     insert into reprise.events (partition, "offset", event_id, entity_type, entity_id, version, type, schema_version,
       data, meta, command_id, origin, published_after, occurred_at, recorded_at)
     values (5, 1, gen_random_uuid(), 'counter', 'brought', 1, 'counter.added', 1, '{"by":1}', '{}', 'c', 'backfill', null,
       now(), now())`,
  );
  await commit([counterCommand('live', { by: 1 })]);
  await until(() => calls.length > 0, { what: 'the live one' });
  await atRest('silent');
  expect(calls.map(({ entityId }) => entityId)).toEqual(['live']);
});

test('invariant 16: a handler that fails is tried again under one key, then parked; redriven it goes on, skipped it does not', async () => {
  const calls: Call[] = [];
  let failing = true;
  const handle = recording(calls, ({ entityId }) => {
    if (failing && entityId !== 'good') throw new Error(`cannot do ${entityId}`);
  });
  await system.startReactions([declare('fragile', { handle })]);
  await commit([
    counterCommand('bad', { by: 1 }),
    counterCommand('worse', { by: 2 }),
    counterCommand('good', { by: 3 }),
  ]);
  await until(async () => (await statusOf('fragile')).parked === 2, { what: 'two are parked' });
  await atRest('fragile');
  const ofBad = calls.filter(({ entityId }) => entityId === 'bad');
  expect(ofBad.map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
  expect(new Set(ofBad.map(({ key }) => key))).toEqual(new Set(['reaction/fragile/counter/bad/1']));
  expect(await readParked(system.db, 'reaction/fragile', 'counter/bad')).toMatchObject([
    { error: 'cannot do bad', attempts: 3 },
  ]);
  // What follows waits; others go on.
  await commit([counterCommand('bad', { by: 10 }), counterCommand('good', { by: 30 })]);
  await until(() => calls.some(({ by }) => by === 30), { what: 'others go on' });
  await atRest('fragile');
  expect(calls.some(({ by }) => by === 10)).toBe(false);

  failing = false;
  const before = calls.length;
  await skipParked(system.db, { consumer: 'reaction/fragile', entity: 'counter/worse', reason: 'no', actor: 'me' });
  expect(await requestRedrive(system.db, 'reaction/fragile', 'counter/bad')).toBe(1);
  await until(async () => (await readParked(system.db, 'reaction/fragile', null)).length === 0, {
    what: 'none parked',
  });
  await atRest('fragile');
  expect(
    calls
      .slice(before)
      .map(({ key }) => key)
      .sort(),
  ).toEqual(['reaction/fragile/counter/bad/1', 'reaction/fragile/counter/bad/2']);
  expect(await statusOf('fragile')).toMatchObject({ done: 4, skipped: 1, parked: 0 });
  expect(await readReactionRuns(system.db, 'fragile', 'counter/bad')).toMatchObject([
    { version: 2, run: 0 },
    { version: 1, run: 1, status: 'done' },
  ]);
});

test('a redriven reaction that fails again at once is parked again, never forgotten', async () => {
  let tries = 0;
  const handle = async () => {
    tries += 1;
    throw new GiveUp('still not');
  };
  await system.startReactions([declare('hopeless', { handle })]);
  await commit(Array.from({ length: 20 }, (_, n) => counterCommand(`h${n}`, { by: n })));
  const parkedRows = async () => (await readParked(system.db, 'reaction/hopeless', null)).length;
  await until(async () => (await parkedRows()) === 20, { what: 'all are parked' });
  await requestRedrive(system.db, 'reaction/hopeless', null);
  await until(async () => tries === 40 && (await statusOf('hopeless')).parked === 20, {
    what: 'all have failed again',
  });
  await until(async () => (await parkedRows()) === 20, { what: 'all are parked again' });
  expect((await readParked(system.db, 'reaction/hopeless', null)).some(({ redrive }) => redrive)).toBe(false);
});

test('the outside says when to come again; what no try helps is parked at once; at most once is tried once', async () => {
  const calls: Call[] = [];
  const handle = recording(calls, ({ entityId, attempt }) => {
    if (entityId === 'later' && attempt === 1) throw new RetryLater('busy', 10);
    if (entityId === 'never') throw new GiveUp('refused for good');
  });
  const once = recording(calls, () => {
    throw new Error('who knows');
  });
  const patient = { firstMs: 60_000, attempts: 5 };
  await system.startReactions([
    declare('polite', { handle, retry: patient }),
    declare('once', {
      handle: once,
      idempotency: 'at-most-once',
      when: ({ entityId }: RecordedEvent) => entityId === 'one',
    }),
  ]);
  await commit(['later', 'never', 'one'].map((id) => counterCommand(id, { by: 1 })));
  await until(async () => (await statusOf('polite')).done === 2, { what: 'later and one are done' });
  await until(async () => (await statusOf('polite')).parked === 1, { what: 'never is parked' });
  await until(async () => (await statusOf('once')).parked === 1, { what: 'the uncertain one is parked' });
  expect(await readParked(system.db, 'reaction/polite', 'counter/never')).toMatchObject([
    { error: 'refused for good', attempts: 1 },
  ]);
  expect(calls.filter(({ key }) => key.startsWith('reaction/once/'))).toHaveLength(1);
});

test('per entity, events are handled one after the other, and a slow entity stalls nobody else', async () => {
  const calls: Call[] = [];
  const letGo: (() => void)[] = [];
  const handle = recording(calls, async ({ entityId, by }) => {
    if (entityId === 'slow' && by === 0) await new Promise<void>((done) => letGo.push(done));
  });
  await system.startReactions([declare('inline', { handle, order: 'per-entity' })]);
  await commit(Array.from({ length: 20 }, (_, n) => counterCommand(n % 2 ? 'slow' : 'quick', { by: n >> 1 })));
  await until(() => calls.filter(({ entityId }) => entityId === 'quick').length === 10, {
    what: 'the quick one is through',
  });
  expect(calls.filter(({ entityId }) => entityId === 'slow').map(({ by }) => by)).toEqual([0]);
  for (const go of letGo) go();
  await atRest('inline');
  for (const id of ['slow', 'quick']) {
    expect(calls.filter(({ entityId }) => entityId === id).map(({ by }) => by)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  }
  await seeAllAgain('inline');
  await atRest('inline');
  expect(calls).toHaveLength(20);
});

test('per entity, a failure holds back what follows it, and a redrive keeps the order', async () => {
  const calls: Call[] = [];
  let failing = true;
  const handle = recording(calls, ({ by }) => {
    if (failing && by === 1) throw new Error('stuck');
  });
  await system.startReactions([declare('strict', { handle, order: 'per-entity', retry: { attempts: 1 } })]);
  await commit([0, 1, 2, 3].map((by) => counterCommand('line', { by })));
  await until(async () => (await readParked(system.db, 'reaction/strict', null)).length === 1, {
    what: 'it is parked',
  });
  await commit([counterCommand('line', { by: 4 })]);
  await until(async () => (await statusOf('strict')).lag_events === 0, { what: 'the log is read' });
  failing = false;
  await requestRedrive(system.db, 'reaction/strict', null);
  await until(async () => (await statusOf('strict')).done === 5, { what: 'all are done' });
  expect(calls.map(({ by }) => by)).toEqual([0, 1, 1, 2, 3, 4]);
});

test('per entity, recovery signals every open one, in order, and none is overtaken', async () => {
  const calls: Call[] = [];
  const inline = declare('inline', { handle: recording(calls), order: 'per-entity' });
  const running = await system.startReactions([inline]);
  await running.stop();
  await commit([1, 2, 3].map((by) => counterCommand('lost', { by })));
  await system.db.query(
    `insert into reprise.reactions (reaction, entity_type, entity_id, version, event_id, partition, "offset")
     select 'inline', entity_type, entity_id, version, event_id, partition, "offset" from reprise.events`,
  );
  await system.db.query(
    `update reprise.checkpoints c set next_offset = p.head + 1 from reprise.partitions p
     where p.partition = c.partition and consumer = 'reaction/inline'`,
  );
  await system.startReactions([inline]);
  await commit([counterCommand('lost', { by: 4 })]);
  await until(async () => (await statusOf('inline')).lag_events === 0, { what: 'the log is read' });
  expect(calls).toEqual([]);
  const pool = openPool({ url: system.database.urlOf('react'), max: 2, applicationName: 'test' });
  const ports = {
    temporal: system.temporal,
    db: pool,
    model: counters,
    reaction: inline,
    ports: {},
    idPrefix: system.name,
  };
  const starter = makeStarter(ports);
  const recover = { db: pool, model: counters, reaction: 'inline', starter, progress: () => undefined };
  const recovered = await recoverReactions(recover);
  expect(recovered.started).toBe(recovered.open); // the fourth may have had its turn behind the third meanwhile
  expect(recovered.open).toBeGreaterThanOrEqual(3);
  await atRest('inline');
  expect(calls.map(({ by }) => by)).toEqual([1, 2, 3, 4]);
  await pool.end();
});

test('a reaction whose own code cannot say whether it concerns an event holds back its entity only', async () => {
  const calls: Call[] = [];
  const when = ({ entityId }: RecordedEvent) => {
    if (entityId === 'odd') throw new Error('when cannot say');
    return true;
  };
  await system.startReactions([declare('unsure', { handle: recording(calls), when })]);
  await commit(['odd', 'even', 'other'].map((id) => counterCommand(id, { by: 1 })));
  await until(() => calls.length === 2, { what: 'the others' });
  await until(async () => (await statusOf('unsure')).lag_events === 0, { what: 'the log is read' });
  expect(await readParked(system.db, 'reaction/unsure', null)).toMatchObject([
    { entity: 'counter/odd', error: 'when cannot say' },
  ]);
});

test('at most once is not begun a second time, whatever starts it', async () => {
  const calls: Call[] = [];
  const once = declare('once', { handle: recording(calls), idempotency: 'at-most-once', from: 'beginning' });
  await commit([counterCommand('a', { by: 1 })]);
  await system.db.query(
    `insert into reprise.reactions (reaction, entity_type, entity_id, version, event_id, partition, "offset", attempts)
     select 'once', entity_type, entity_id, version, event_id, partition, "offset", 1 from reprise.events`,
  );
  await system.startReactions([once]);
  await until(async () => (await statusOf('once')).parked === 1, { what: 'the uncertain one is parked' });
  expect(calls).toEqual([]);
});

test('a limit that is taken away strands nothing', async () => {
  const calls: Call[] = [];
  const handle = recording(calls, ({ attempt }) => {
    if (attempt === 1) throw new RetryLater('not now', 1_500);
  });
  const limited = await system.startReactions([declare('loose', { handle, limits: { concurrent: 1 } })]);
  await commit([counterCommand('a', { by: 1 })]);
  await until(() => calls.length === 1, { what: 'the first try' });
  await limited.stop();
  await system.startReactions([declare('loose', { handle })]);
  await until(async () => (await statusOf('loose')).done === 1, { what: 'it is done all the same' });
});

test('a declared limit holds: no more handlers at once than were allowed', async () => {
  let now = 0;
  let most = 0;
  const handle = async () => {
    now += 1;
    most = Math.max(most, now);
    await new Promise((done) => setTimeout(done, 5));
    now -= 1;
  };
  await system.startReactions([declare('gentle', { handle, limits: { concurrent: 2 } })]);
  await commit(Array.from({ length: 30 }, (_, n) => counterCommand(`e${n}`, { by: n })));
  await until(async () => (await statusOf('gentle')).done === 30, { what: 'all are done' });
  expect(most).toBeLessThanOrEqual(2);
});

test('a rerun by hand keeps the idempotency key, and who had it done and why', async () => {
  const calls: Call[] = [];
  const tell = declare('tell', { handle: recording(calls) });
  await system.startReactions([tell]);
  await commit([counterCommand('a', { by: 1 })]);
  await atRest('tell');
  await until(() => calls.length === 1, { what: 'the first run' });
  const { rows } = await system.db.query<{ event_id: string }>('select event_id from reprise.events');
  const eventIds = rows.map((row) => row.event_id);
  const opened = await openReruns(system.db, { reaction: 'tell', eventIds, reason: 'the mail was lost', actor: 'me' });
  expect(opened).toMatchObject([{ entityId: 'a', version: 1, run: 1 }]);
  // Open already: asked twice, it is opened once.
  expect(await openReruns(system.db, { reaction: 'tell', eventIds, reason: 'again', actor: 'me' })).toEqual([]);
  await seeAllAgain('tell');
  await until(() => calls.length === 2, { what: 'the second run' });
  await atRest('tell');
  expect(new Set(calls.map(({ key }) => key)).size).toBe(1);
  const rerun = system.temporal.workflow.getHandle(`${system.name}reaction/tell/counter/a/1/rerun-1`);
  expect(await rerun.result()).toBe('done');
  expect((await system.db.query('select reason, actor, run from reprise.reruns')).rows).toEqual([
    { reason: 'the mail was lost', actor: 'me', run: 1 },
  ]);
});

describe('processes', () => {
  const processesPath = require.resolve('./support/processes');
  const pairs = (stepped: string[], waitMs: number): AnyReaction =>
    declare('pair-up', {
      process: 'pairUp',
      takes: [added],
      when: ({ version }: RecordedEvent) => version === 1,
      settings: () => ({ waitMs }),
      steps: {
        lonely: async ({ entityId }: { entityId: string }, { idempotencyKey }: ReactionContext) =>
          void stepped.push(`${entityId} ${idempotencyKey}`),
      },
    });

  test('a process takes further events of its entity, waits, steps outside and sends commands', async () => {
    const stepped: string[] = [];
    await system.startEntityWorker();
    await system.startReactions([pairs(stepped, 1_500)], { processesPath });
    await commit([counterCommand('two', { by: 1 }), counterCommand('one', { by: 1 })]);
    await commit([counterCommand('two', { by: 2 })]);
    await atRest('pair-up');
    await until(async () => (await statusOf('pair-up')).done === 2, { what: 'both have ended' });
    expect(stepped).toEqual(['one reaction/pair-up/counter/one/1/lonely/1']);
    const result = (id: string) =>
      system.temporal.workflow.getHandle(`${system.name}reaction/pair-up/counter/${id}/1`).result();
    expect([await result('two'), await result('one')]).toEqual(['paired with 2', 'added alone: accepted']);
    const { rows } = await system.db.query(
      `select command_id, meta from reprise.events where entity_id = 'one' and version = 2`,
    );
    expect(rows).toMatchObject([
      {
        command_id: expect.stringMatching(/^pair-up\/[0-9a-f-]{36}\/add$/) as string,
        meta: { depth: 1, chain: ['pair-up of counter/one@1'] },
      },
    ]);
  });

  test('a process that Temporal lost is started again with the events it was told', async () => {
    const stepped: string[] = [];
    await system.startEntityWorker();
    const running = await system.startReactions([pairs(stepped, 60_000)], { processesPath });
    await commit([counterCommand('lost', { by: 1 })]);
    await until(async () => (await statusOf('pair-up')).open === 1, { what: 'it is open' });
    await running.stop();
    const workflowId = `${system.name}reaction/pair-up/counter/lost/1`;
    await system.temporal.workflowService.deleteWorkflowExecution({
      namespace: 'default',
      workflowExecution: { workflowId },
    });
    await until(
      () =>
        system.temporal.workflow
          .getHandle(workflowId)
          .describe()
          .then(() => null)
          .catch(() => true),
      { what: 'it is gone' },
    );
    await system.startReactions([pairs(stepped, 60_000)], { processesPath });
    await commit([counterCommand('lost', { by: 2 })]);
    await until(async () => (await statusOf('pair-up')).done === 1, { what: 'it has ended' });
    expect(stepped).toEqual([]);
  });

  test('a process that fails, or that somebody ends, is parked', async () => {
    await system.startReactions([declare('fails', { process: 'failing' })], { processesPath });
    await commit([counterCommand('a', { by: 1 })]);
    await until(async () => (await statusOf('fails')).parked === 1, { what: 'it is parked' });
    expect(await readParked(system.db, 'reaction/fails', null)).toMatchObject([{ error: 'this process cannot go on' }]);
    const status = async (id: string) =>
      (await system.temporal.workflow.getHandle(`${system.name}reaction/${id}`).describe()).status.name;
    await until(async () => (await status('fails/counter/a/1')) === 'FAILED', { what: 'its workflow has ended' });

    await system.startReactions([pairs([], 60_000)], { processesPath });
    await commit([counterCommand('cancelled', { by: 1 })]);
    await until(async () => (await statusOf('pair-up')).open === 1, { what: 'it is open' });
    await system.temporal.workflow.getHandle(`${system.name}reaction/pair-up/counter/cancelled/1`).cancel();
    await until(async () => (await statusOf('pair-up')).parked === 1, { what: 'the cancelled one is parked' });
  });

  test('a workflow file that imports what Node has is refused at start', async () => {
    await expect(
      system.startReactions([pairs([], 1)], { processesPath: require.resolve('./support/process-with-node') }),
    ).rejects.toThrow(/imports node:fs, which belongs to Node/);
  });
});

test('a chain of reactions that cause one another is stopped, and shown', async () => {
  const handle = async (event: RecordedEvent, { send }: ReactionContext) => {
    await send('counter', event.entityId, { kind: 'command', name: 'add', version: 1, data: { by: 1 } });
  };
  await system.startEntityWorker();
  await system.startReactions([declare('echo', { handle })]);
  await commit([counterCommand('loop', { by: 0 })]);
  await until(async () => (await readParked(system.db, 'reaction/echo', null)).length === 1, { what: 'it is stopped' });
  const [parked] = await readParked(system.db, 'reaction/echo', null);
  expect(parked?.error).toMatch(/^16 reactions led here: echo of counter\/loop@1, then echo of counter\/loop@2/);
  expect((await system.db.query('select from reprise.events')).rowCount).toBe(17);
});

test('a reaction must say why twice does no harm', () => {
  expect(() => reaction('careless', { on: [ofAdded], handle: async () => undefined } as never)).toThrow(
    /say why twice does no harm/,
  );
});
