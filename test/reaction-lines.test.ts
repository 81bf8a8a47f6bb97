import { recoverReactions } from '../activities/react/recover';
import { makeStarter } from '../activities/react/start';
import { readParked, requestRedrive } from '../db/parked';
import { openPool } from '../db/pool';
import { counterCommand, counters } from './support/counters';
import { declare, openReacting, recording, type Call, type Reacting } from './support/reacting';
import { until } from './support/until';

let at: Reacting;
beforeEach(async () => {
  at = await openReacting();
});
afterEach(() => at.close());

/** Of an entity's line, run after run: how many signals it took. */
async function signalsOf(name: string, entityId: string): Promise<number> {
  const workflowId = `${at.system.name}reaction/${name}/counter/${entityId}`;
  let signals = 0;
  for await (const { runId } of at.system.temporal.workflow.list({ query: `WorkflowId = '${workflowId}'` })) {
    const { events } = await at.system.temporal.workflow.getHandle(workflowId, runId).fetchHistory();
    signals += (events ?? []).filter((one) => one.workflowExecutionSignaledEventAttributes).length;
  }
  return signals;
}

test('per entity, events are handled one after the other, and a slow entity stalls nobody else', async () => {
  const calls: Call[] = [];
  const letGo: (() => void)[] = [];
  const handle = recording(calls, async ({ entityId, by }) => {
    if (entityId === 'slow' && by === 0) await new Promise<void>((done) => letGo.push(done));
  });
  await at.system.startReactions([declare('inline', { handle, order: 'per-entity' })]);
  await at.commit(Array.from({ length: 20 }, (_, n) => counterCommand(n % 2 ? 'slow' : 'quick', { by: n >> 1 })));
  await until(() => calls.filter(({ entityId }) => entityId === 'quick').length === 10, {
    what: 'the quick one is through',
  });
  expect(calls.filter(({ entityId }) => entityId === 'slow').map(({ by }) => by)).toEqual([0]);
  for (const go of letGo) go();
  await at.atRest('inline');
  for (const id of ['slow', 'quick']) {
    expect(calls.filter(({ entityId }) => entityId === id).map(({ by }) => by)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  }
  await at.seeAllAgain('inline');
  await at.atRest('inline');
  expect(calls).toHaveLength(20);
});

test('10,500 events of an entity whose first handler is held: each is handled once, in order, and few signals are sent', async () => {
  const EVENTS = 10_500;
  const handled: number[] = [];
  let letGo: (() => void) | undefined;
  const handle = async ({ version }: { version: number }) => {
    if (version === 1) await new Promise<void>((done) => (letGo = done));
    handled.push(version);
  };
  await at.system.startReactions([declare('flooded', { handle, order: 'per-entity' })]);
  await at.commit([counterCommand('flood', { by: 1 })]);
  await until(() => letGo, { what: 'the first is held' });
  for (let sent = 1; sent < EVENTS; sent += 500)
    await at.commit(Array.from({ length: Math.min(500, EVENTS - sent) }, () => counterCommand('flood', { by: 1 })));
  await at.untilStatus('flooded', { lag_events: 0, open: EVENTS }, 120_000);
  expect(await signalsOf('flooded', 'flood')).toBeLessThan(50);
  letGo?.();
  // Those that come while it works are found as well.
  await until(() => handled.length > 500, { what: 'it works' });
  await at.commit(Array.from({ length: 20 }, () => counterCommand('flood', { by: 1 })));
  await at.untilStatus('flooded', { open: 0, lag_events: 0, done: EVENTS + 20 }, 240_000);
  expect(handled).toEqual(Array.from({ length: EVENTS + 20 }, (_, n) => n + 1));
}, 400_000);

test('per entity, what comes when a line has closed opens it again, and what comes before does not', async () => {
  const calls: Call[] = [];
  await at.system.startReactions([declare('drip', { handle: recording(calls), order: 'per-entity' })]);
  const line = at.system.temporal.workflow.getHandle(`${at.system.name}reaction/drip/counter/drop`);
  for (let by = 0; by < 6; by++) {
    await at.commit([counterCommand('drop', { by })]);
    await until(() => calls.length > by, { what: `${by} is handled` });
    if (by % 2) await until(async () => (await line.describe()).status.name === 'COMPLETED', { what: 'it has closed' });
  }
  await at.atRest('drip');
  expect(calls.map(({ by }) => by)).toEqual([0, 1, 2, 3, 4, 5]);
});

test('per entity, a failure holds back what follows it, and a redrive keeps the order', async () => {
  const calls: Call[] = [];
  let failing = true;
  const handle = recording(calls, ({ by }) => {
    if (failing && by === 1) throw new Error('stuck');
  });
  await at.system.startReactions([declare('strict', { handle, order: 'per-entity', retry: { attempts: 1 } })]);
  await at.commit([0, 1, 2, 3].map((by) => counterCommand('line', { by })));
  await until(async () => (await readParked(at.system.db, 'reaction/strict', null)).length === 1, {
    what: 'it is parked',
  });
  await at.commit([counterCommand('line', { by: 4 })]);
  await at.untilStatus('strict', { lag_events: 0 });
  failing = false;
  await requestRedrive(at.system.db, 'reaction/strict', null);
  await at.untilStatus('strict', { done: 5 });
  expect(calls.map(({ by }) => by)).toEqual([0, 1, 1, 2, 3, 4]);
});

test('per entity, a line that somebody ended in Temporal is parked, and a retry goes on', async () => {
  const calls: Call[] = [];
  const letGo: (() => void)[] = [];
  const handle = recording(calls, ({ by }, { signal }) =>
    by === 0 && letGo.length === 0
      ? new Promise<void>((done, failed) => {
          letGo.push(done);
          signal.addEventListener('abort', () => failed(new Error('told to stop')));
        })
      : undefined,
  );
  await at.system.startReactions([declare('ended', { handle, order: 'per-entity' })]);
  await at.commit([0, 1].map((by) => counterCommand('line', { by })));
  await until(() => letGo.length === 1, { what: 'the first is under way' });
  await at.system.temporal.workflow.getHandle(`${at.system.name}reaction/ended/counter/line`).cancel();
  await at.untilStatus('ended', { parked: 1 });
  await requestRedrive(at.system.db, 'reaction/ended', null);
  await at.untilStatus('ended', { done: 2, parked: 0, open: 0 });
  expect(calls.map(({ by }) => by)).toEqual([0, 0, 1]);
});

test('per entity, recovery wakes every line, in order, and none is overtaken', async () => {
  const calls: Call[] = [];
  const inline = declare('inline', { handle: recording(calls), order: 'per-entity' });
  const running = await at.system.startReactions([inline]);
  await running.stop();
  await at.commit([1, 2, 3].map((by) => counterCommand('lost', { by })));
  await at.system.db.query(
    `insert into reprise.reactions (reaction, entity_type, entity_id, version, event_id, partition, "offset")
     select 'inline', entity_type, entity_id, version, event_id, partition, "offset" from reprise.events`,
  );
  await at.system.db.query(
    `update reprise.checkpoints c set next_offset = p.head + 1 from reprise.partitions p
     where p.partition = c.partition and consumer = 'reaction/inline'`,
  );
  await at.system.startReactions([inline]);
  const pool = openPool({ url: at.system.database.urlOf('react'), max: 2, applicationName: 'test' });
  const { temporal, name: idPrefix } = at.system;
  const starter = makeStarter({ temporal, db: pool, model: counters, reaction: inline, ports: {}, idPrefix });
  const recover = { db: pool, model: counters, reaction: 'inline', starter, progress: () => undefined };
  expect(await recoverReactions(recover)).toEqual({ open: 3, started: 3 });
  await at.atRest('inline');
  expect(calls.map(({ by }) => by)).toEqual([1, 2, 3]);
  await pool.end();
});

test('per entity, the next event finds what a line was lost with', async () => {
  const calls: Call[] = [];
  const inline = declare('inline', { handle: recording(calls), order: 'per-entity' });
  const running = await at.system.startReactions([inline]);
  await running.stop();
  await at.commit([1, 2].map((by) => counterCommand('lost', { by })));
  await at.system.db.query(
    `insert into reprise.reactions (reaction, entity_type, entity_id, version, event_id, partition, "offset")
     select 'inline', entity_type, entity_id, version, event_id, partition, "offset" from reprise.events`,
  );
  await at.system.db.query(
    `update reprise.checkpoints c set next_offset = p.head + 1 from reprise.partitions p
     where p.partition = c.partition and consumer = 'reaction/inline'`,
  );
  await at.system.startReactions([inline]);
  await at.commit([counterCommand('lost', { by: 3 })]);
  await at.untilStatus('inline', { done: 3 });
  expect(calls.map(({ by }) => by)).toEqual([1, 2, 3]);
});
