import type { RecordedEvent } from '../contracts/event';
import { readParked, requestRedrive, skipParked } from '../db/parked';
import { readReactionRuns } from '../db/reactions';
import { GiveUp, RetryLater, type ReactionContext } from '../model/reaction';
import { counterCommand, newerCounters } from './support/counters';
import { declare, openReacting, recording, type Call, type Reacting } from './support/reacting';
import { until } from './support/until';

let at: Reacting;
beforeEach(async () => {
  at = await openReacting();
});
afterEach(() => at.close());

test('invariant 16: a handler that fails is tried again under one key, then parked; redriven it goes on, skipped it does not', async () => {
  const calls: Call[] = [];
  let failing = true;
  const handle = recording(calls, ({ entityId }) => {
    if (failing && entityId !== 'good') throw new Error(`cannot do ${entityId}`);
  });
  await at.system.startReactions([declare('fragile', { handle })]);
  await at.commit([
    counterCommand('bad', { by: 1 }),
    counterCommand('worse', { by: 2 }),
    counterCommand('good', { by: 3 }),
  ]);
  await until(async () => (await at.statusOf('fragile')).parked === 2, { what: 'two are parked' });
  await at.atRest('fragile');
  const ofBad = calls.filter(({ entityId }) => entityId === 'bad');
  expect(ofBad.map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
  expect(new Set(ofBad.map(({ key }) => key))).toEqual(new Set(['reaction/fragile/counter/bad/1']));
  expect(await readParked(at.system.db, 'reaction/fragile', 'counter/bad')).toMatchObject([
    { error: 'cannot do bad', attempts: 3 },
  ]);
  // What follows waits; others go on.
  await at.commit([counterCommand('bad', { by: 10 }), counterCommand('good', { by: 30 })]);
  await until(() => calls.some(({ by }) => by === 30), { what: 'others go on' });
  await at.atRest('fragile');
  expect(calls.some(({ by }) => by === 10)).toBe(false);

  failing = false;
  const before = calls.length;
  await skipParked(at.system.db, { consumer: 'reaction/fragile', entity: 'counter/worse', reason: 'no', actor: 'me' });
  expect(await requestRedrive(at.system.db, 'reaction/fragile', 'counter/bad')).toBe(1);
  await until(async () => (await readParked(at.system.db, 'reaction/fragile', null)).length === 0, {
    what: 'none parked',
  });
  await at.atRest('fragile');
  expect(
    calls
      .slice(before)
      .map(({ key }) => key)
      .sort(),
  ).toEqual(['reaction/fragile/counter/bad/1', 'reaction/fragile/counter/bad/2']);
  expect(await at.statusOf('fragile')).toMatchObject({ done: 4, skipped: 1, parked: 0 });
  expect(await readReactionRuns(at.system.db, 'fragile', 'counter/bad')).toMatchObject([
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
  await at.system.startReactions([declare('hopeless', { handle })]);
  await at.commit(Array.from({ length: 20 }, (_, n) => counterCommand(`h${n}`, { by: n })));
  const parkedRows = async () => (await readParked(at.system.db, 'reaction/hopeless', null)).length;
  await until(async () => (await parkedRows()) === 20, { what: 'all are parked' });
  await requestRedrive(at.system.db, 'reaction/hopeless', null);
  await until(async () => tries === 40 && (await at.statusOf('hopeless')).parked === 20, {
    what: 'all have failed again',
  });
  await until(async () => (await parkedRows()) === 20, { what: 'all are parked again' });
  expect((await readParked(at.system.db, 'reaction/hopeless', null)).some(({ redrive }) => redrive)).toBe(false);
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
  await at.system.startReactions([
    declare('polite', { handle, retry: patient }),
    declare('once', {
      handle: once,
      idempotency: 'at-most-once',
      when: ({ entityId }: RecordedEvent) => entityId === 'one',
    }),
  ]);
  await at.commit(['later', 'never', 'one'].map((id) => counterCommand(id, { by: 1 })));
  await until(async () => (await at.statusOf('polite')).done === 2, { what: 'later and one are done' });
  await until(async () => (await at.statusOf('polite')).parked === 1, { what: 'never is parked' });
  await until(async () => (await at.statusOf('once')).parked === 1, { what: 'the uncertain one is parked' });
  expect(await readParked(at.system.db, 'reaction/polite', 'counter/never')).toMatchObject([
    { error: 'refused for good', attempts: 1 },
  ]);
  expect(calls.filter(({ key }) => key.startsWith('reaction/once/'))).toHaveLength(1);
});

test('a reaction whose own code cannot say whether it concerns an event holds back its entity only', async () => {
  const calls: Call[] = [];
  const when = ({ entityId }: RecordedEvent) => {
    if (entityId === 'odd') throw new Error('when cannot say');
    return true;
  };
  await at.system.startReactions([declare('unsure', { handle: recording(calls), when })]);
  await at.commit(['odd', 'even', 'other'].map((id) => counterCommand(id, { by: 1 })));
  await until(() => calls.length === 2, { what: 'the others' });
  await until(async () => (await at.statusOf('unsure')).lag_events === 0, { what: 'the log is read' });
  expect(await readParked(at.system.db, 'reaction/unsure', null)).toMatchObject([
    { entity: 'counter/odd', error: 'when cannot say' },
  ]);
});

test('at most once is not begun a second time, whatever starts it', async () => {
  const calls: Call[] = [];
  const once = declare('once', { handle: recording(calls), idempotency: 'at-most-once', from: 'beginning' });
  await at.commit([counterCommand('a', { by: 1 })]);
  await at.system.db.query(
    `insert into reprise.reactions (reaction, entity_type, entity_id, version, event_id, partition, "offset", attempts)
     select 'once', entity_type, entity_id, version, event_id, partition, "offset", 1 from reprise.events`,
  );
  await at.system.startReactions([once]);
  await until(async () => (await at.statusOf('once')).parked === 1, { what: 'the uncertain one is parked' });
  expect(calls).toEqual([]);
});

test('a chain of reactions that cause one another is stopped, and shown', async () => {
  const handle = async (event: RecordedEvent, { send }: ReactionContext) => {
    await send('counter', event.entityId, { kind: 'command', name: 'add', version: 1, data: { by: 1 } });
  };
  await at.system.startEntityWorker();
  await at.system.startReactions([declare('echo', { handle })]);
  await at.commit([counterCommand('loop', { by: 0 })]);
  await until(async () => (await readParked(at.system.db, 'reaction/echo', null)).length === 1, {
    what: 'it is stopped',
  });
  const [parked] = await readParked(at.system.db, 'reaction/echo', null);
  expect(parked?.error).toMatch(/^16 reactions led here: echo of counter\/loop@1, then echo of counter\/loop@2/);
  expect((await at.system.db.query('select from reprise.events')).rowCount).toBe(17);
  // It was not started, so it has no row; it is shown all the same.
  const [first] = await readReactionRuns(at.system.db, 'echo', 'counter/loop');
  expect(first).toMatchObject({ entity: 'counter/loop', version: 17, status: 'parked', error: parked?.error });
});

test('redriven, an event that only newer code knows stands still, keeps nobody else, and goes on with that code', async () => {
  const calls: Call[] = [];
  let failing = true;
  const handle = recording(calls, () => {
    if (failing) throw new GiveUp('not yet');
  });
  const older = await at.system.startReactions([declare('behind', { handle })]);
  await at.commit(['odd', 'other'].map((id) => counterCommand(id, { by: 1 })));
  await at.untilStatus('behind', { parked: 2 });
  await at.commitAsNewer([counterCommand('odd', { by: 2 }), counterCommand('other', { by: 3 })]);
  await at.untilStatus('behind', { lag_events: 0 });
  failing = false;
  await requestRedrive(at.system.db, 'reaction/behind', null);
  const stands = async () => {
    const rows = await readParked(at.system.db, 'reaction/behind', null);
    return rows.length === 2 && rows.every(({ error }) => error.includes('which this code does not know'))
      ? rows
      : null;
  };
  const parked = await until(stands, { what: 'both stand before what this code does not know' });
  expect(parked.map(({ redrive, attempts }) => [redrive, attempts])).toEqual([
    [true, 1],
    [true, 1],
  ]);
  await at.untilStatus('behind', { done: 2, open: 0 });
  expect(calls.map(({ by }) => by)).toEqual([1, 1, 1, 1]);
  await older.stop();
  await at.system.startReactions([declare('behind', { handle })], { model: newerCounters });
  await at.untilStatus('behind', { done: 4, parked: 0, open: 0 });
  expect(calls.map(({ by }) => by).sort()).toEqual([1, 1, 1, 1, 2, 3]);
});
