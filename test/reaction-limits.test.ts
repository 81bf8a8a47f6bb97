import { readParked, requestRedrive } from '../db/parked';
import { partitionOf } from '../model/partition';
import { GiveUp, RetryLater } from '../model/reaction';
import { counterCommand, pickyCounters, UNLIFTABLE } from './support/counters';
import { counterAdded, declare, openReacting, recording, type Call, type Reacting } from './support/reacting';
import { until } from './support/until';

let at: Reacting;
beforeEach(async () => {
  at = await openReacting();
});
afterEach(() => at.close());

const ids = (count: number) => Array.from({ length: count }, (_, n) => `e${n}`);

/** When each was started and ended, in ms, the first started first. */
async function timesOf(name: string): Promise<{ started: number; ended: number }[]> {
  const { rows } = await at.system.db.query<{ started: number; ended: number }>(
    `select extract(epoch from started_at)::float8 * 1000 as started, extract(epoch from ended_at)::float8 * 1000 as ended
     from reprise.reactions where reaction = $1 order by started_at`,
    [name],
  );
  return rows;
}

test('a rate holds: in no second more are started than were allowed, and what waits is lag', async () => {
  const calls: Call[] = [];
  await at.system.startReactions([declare('paced', { handle: recording(calls), limits: { perSecond: 20 } })]);
  await at.commit(ids(70).map((id) => counterCommand(id, { by: 1 })));
  await until(
    async () => {
      const { lag_events, done } = await at.statusOf('paced');
      return lag_events > 0 && done > 0;
    },
    { what: 'some are done and others wait in the log' },
  );
  await at.untilStatus('paced', { done: 70, lag_events: 0 });
  expect(new Set(calls.map(({ key }) => key)).size).toBe(70);
  const started = (await timesOf('paced')).map((row) => row.started);
  const windows = started.slice(20).map((at, n) => at - (started[n] ?? 0));
  expect(Math.min(...windows)).toBeGreaterThanOrEqual(1_000);
});

test('a rate below one a second is one in so many', async () => {
  await at.system.startReactions([declare('slow', { handle: async () => undefined, limits: { perSecond: 0.5 } })]);
  await at.commit(ids(2).map((id) => counterCommand(id, { by: 1 })));
  await at.untilStatus('slow', { done: 2 });
  const [first, second] = await timesOf('slow');
  expect((second?.started ?? 0) - (first?.started ?? 0)).toBeGreaterThanOrEqual(2_000);
});

test('no more processes are open than were allowed, and those that are open hear of what lies behind those that wait', async () => {
  const pairs = declare('pair-up', {
    process: 'pairUp',
    takes: [counterAdded],
    when: ({ version }: { version: number }) => version === 1,
    settings: () => ({ waitMs: 10 * 60_000 }),
    limits: { concurrent: 3 },
  });
  await at.system.startReactions([pairs], { processesPath: require.resolve('./support/processes') });
  await at.commit(ids(12).map((id) => counterCommand(id, { by: 1 })));
  await at.untilStatus('pair-up', { open: 3 });
  expect((await at.statusOf('pair-up')).lag_events).toBeGreaterThanOrEqual(9);
  // Each ends when it hears of its second event; all of these lie behind the starts that wait.
  await at.commit(ids(12).map((id) => counterCommand(id, { by: 2 })));
  await at.untilStatus('pair-up', { done: 12, open: 0, lag_events: 0 }, 60_000);
  const times = await timesOf('pair-up');
  const openAt = times.map(
    ({ started }) => times.filter((one) => one.started <= started && one.ended > started).length,
  );
  expect(Math.max(...openAt)).toBe(3);
}, 120_000);

test('after an owner that died, what has to wait is not taken for what it died of', async () => {
  const calls: Call[] = [];
  const paced = declare('doubtful', { handle: recording(calls), limits: { perSecond: 4 }, from: 'beginning' });
  const first = await at.system.startReactions([paced]);
  await first.stop();
  await at.commit(ids(10).map((id) => counterCommand(id, { by: 1 })));
  await at.system.db.query(`update reprise.checkpoints set unfinished = 1 where consumer = 'reaction/doubtful'`);
  await at.system.startReactions([paced]);
  await at.untilStatus('doubtful', { done: 10, parked: 0, lag_events: 0 });
  expect(calls).toHaveLength(10);
});

const lasting = (concurrent: number) =>
  declare('lasting', {
    process: 'lasting',
    takes: [counterAdded],
    when: ({ version }: { version: number }) => version === 1,
    limits: { concurrent },
  });
/** Others of its partition. */
const besideOf = (entityId: string, count: number) =>
  ids(5_000)
    .filter((id) => partitionOf('counter', id, 64) === partitionOf('counter', entityId, 64))
    .slice(0, count);
const processesPath = require.resolve('./support/processes');

test('after an owner that died, what it had let in and not started is started, and gives its room back', async () => {
  const first = await at.system.startReactions([lasting(1)], { processesPath });
  await first.stop();
  await at.commit(ids(6).map((id) => counterCommand(id, { by: 0 })));
  // It died between the row and the start; what is looked at before has no row yet, and no room.
  await at.system.db.query(
    `insert into reprise.reactions (reaction, entity_type, entity_id, version, event_id, partition, "offset")
     select 'lasting', entity_type, entity_id, version, event_id, partition, "offset" from reprise.events
     order by partition desc, "offset" limit 1`,
  );
  await at.system.db.query(`update reprise.checkpoints set unfinished = 1 where consumer = 'reaction/lasting'`);
  await at.system.startReactions([lasting(1)], { processesPath });
  await at.untilStatus('lasting', { done: 6, open: 0, parked: 0, lag_events: 0 });
});

test('what lies behind starts that wait is told a few times at most, however often they are looked at', async () => {
  await at.system.startReactions([lasting(2)], { processesPath });
  await at.commit([counterCommand('long', { by: 1 })]);
  await at.untilStatus('lasting', { open: 1, lag_events: 0 });
  const beside = besideOf('long', 20);
  await at.commit([...beside.map((id) => counterCommand(id, { by: 0 })), counterCommand('long', { by: 2 })]);
  await at.untilStatus('lasting', { done: beside.length, open: 1, lag_events: 0 }, 60_000);
  const long = at.system.temporal.workflow.getHandle(`${at.system.name}reaction/lasting/counter/long/1`);
  const { events } = await long.fetchHistory();
  const signals = (events ?? []).filter((one) => one.workflowExecutionSignaledEventAttributes).length;
  expect(beside).toHaveLength(20);
  expect(signals).toBeLessThanOrEqual(3);
  await at.commit([counterCommand('long', { by: 100 })]);
  await at.untilStatus('lasting', { done: beside.length + 1, open: 0 });
}, 120_000);

test('what cannot be lifted, behind a start that waits, keeps nobody else from what they wait for', async () => {
  await at.system.startReactions([lasting(2)], { processesPath, model: pickyCounters });
  await at.commit(['long', 'zeta'].map((id) => counterCommand(id, { by: 1 })));
  await at.untilStatus('lasting', { open: 2, lag_events: 0 });
  await at.commit([...besideOf('long', 1), ...besideOf('zeta', 1)].map((id) => counterCommand(id, { by: 0 })));
  await at.untilStatus('lasting', { lag_events: 2 });
  await at.commit([counterCommand('long', { by: UNLIFTABLE }), counterCommand('zeta', { by: 100 })]);
  await at.untilStatus('lasting', { done: 3, open: 1, lag_events: 0 });
  expect(await readParked(at.system.db, 'reaction/lasting', null)).toMatchObject([{ entity: 'counter/long' }]);
});

test('what was held back is let go no faster either', async () => {
  const calls: Call[] = [];
  let failing = true;
  const handle = recording(calls, () => {
    if (failing) throw new GiveUp('not yet');
  });
  await at.system.startReactions([declare('held', { handle, limits: { perSecond: 5 } })]);
  await at.commit([counterCommand('bad', { by: 0 })]);
  await at.untilStatus('held', { parked: 1 });
  await at.commit(Array.from({ length: 12 }, (_, n) => counterCommand('bad', { by: n + 1 })));
  await at.untilStatus('held', { lag_events: 0 });
  failing = false;
  const before = calls.length;
  await requestRedrive(at.system.db, 'reaction/held', null);
  await at.untilStatus('held', { done: 13, parked: 0, open: 0 });
  expect(new Set(calls.slice(before).map(({ by }) => by)).size).toBe(13);
  const started = (await timesOf('held')).map((row) => row.started).slice(1); // the first has its row from before
  const windows = started.slice(5).map((at, n) => at - (started[n] ?? 0));
  expect(Math.min(...windows)).toBeGreaterThanOrEqual(1_000);
});

test('no more handlers at once than were allowed', async () => {
  let now = 0;
  let most = 0;
  const handle = async () => {
    now += 1;
    most = Math.max(most, now);
    await new Promise((done) => setTimeout(done, 5));
    now -= 1;
  };
  await at.system.startReactions([declare('gentle', { handle, limits: { concurrent: 2 } })]);
  await at.commit(ids(30).map((id) => counterCommand(id, { by: 1 })));
  await at.untilStatus('gentle', { done: 30 });
  expect(most).toBeLessThanOrEqual(2);
});

test('a limit that is taken away strands nothing', async () => {
  const calls: Call[] = [];
  const handle = recording(calls, ({ attempt }) => {
    if (attempt === 1) throw new RetryLater('not now', 1_500);
  });
  const limited = await at.system.startReactions([declare('loose', { handle, limits: { concurrent: 1 } })]);
  await at.commit([counterCommand('a', { by: 1 })]);
  await until(() => calls.length === 1, { what: 'the first try' });
  await limited.stop();
  await at.system.startReactions([declare('loose', { handle })]);
  await at.untilStatus('loose', { done: 1 });
});

test.each([
  [{ concurrent: 0 }, /concurrent is 0, not 1, 2, 3/],
  [{ concurrent: 1.5 }, /concurrent is 1.5/],
  [{ perSecond: 0 }, /perSecond is 0, not a number above 0/],
  [{ perSecond: Infinity }, /perSecond is Infinity/],
])('a limit that is none is refused: %j', (limits, message) => {
  expect(() => declare('odd', { handle: async () => undefined, limits })).toThrow(message);
});
