import { openReruns } from '../db/reactions';
import { reaction } from '../model/reaction';
import { counterCommand } from './support/counters';
import { counterAdded, declare, openReacting, recording, type Call, type Reacting } from './support/reacting';
import { until } from './support/until';

let at: Reacting;
beforeEach(async () => {
  at = await openReacting();
});
afterEach(() => at.close());

test('a handler runs once per event, whatever is seen again, also when Temporal has forgotten the run', async () => {
  const calls: Call[] = [];
  const tell = declare('tell', { handle: recording(calls), from: 'beginning' });
  const running = await at.system.startReactions([tell]);
  await at.commit([counterCommand('a', { by: 1 }), counterCommand('a', { by: 2 }), counterCommand('b', { by: 3 })]);
  await at.commit([counterCommand('a', {}, 'hide')]);
  await until(() => calls.length === 3, { what: 'three calls' });
  await at.atRest('tell');
  expect(calls.map(({ key }) => key).sort()).toEqual([
    'reaction/tell/counter/a/1',
    'reaction/tell/counter/a/2',
    'reaction/tell/counter/b/1',
  ]);
  await at.seeAllAgain('tell');
  await at.atRest('tell');
  await running.stop();
  await at.seeAllAgain('tell');
  await at.system.startReactions([tell], { idPrefix: `${at.system.name}forgetful-` }); // none of those workflow ids is known there
  await at.atRest('tell');
  expect(calls).toHaveLength(3);
  expect(await at.statusOf('tell')).toMatchObject({ done: 3, open: 0, parked: 0 });
});

test('a new reaction begins at head: 1,000 old events, 0 starts; one that asks for it begins at the first', async () => {
  await at.commit(Array.from({ length: 500 }, (_, n) => counterCommand(`old-${n % 50}`, { by: n })));
  await at.commit(Array.from({ length: 500 }, (_, n) => counterCommand(`old-${n % 50}`, { by: n })));
  const calls: Call[] = [];
  await at.system.startReactions([declare('newcomer', { handle: recording(calls) })]);
  await at.commit([counterCommand('new', { by: 7 })]);
  await until(() => calls.length > 0, { what: 'the new event' });
  await at.atRest('newcomer');
  expect(calls.map(({ entityId }) => entityId)).toEqual(['new']);
});

test('what was brought in from elsewhere starts nothing', async () => {
  const calls: Call[] = [];
  await at.system.startReactions([declare('silent', { handle: recording(calls), from: 'beginning' })]);
  await at.system.db.query(
    `with raised as (update reprise.partitions set head = 1 where partition = 5)
     insert into reprise.events (partition, "offset", event_id, entity_type, entity_id, version, type, schema_version,
       data, meta, command_id, origin, published_after, occurred_at, recorded_at)
     values (5, 1, gen_random_uuid(), 'counter', 'brought', 1, 'counter.added', 1, '{"by":1}', '{}', 'c', 'backfill', null,
       now(), now())`,
  );
  await at.commit([counterCommand('live', { by: 1 })]);
  await until(() => calls.length > 0, { what: 'the live one' });
  await at.atRest('silent');
  expect(calls.map(({ entityId }) => entityId)).toEqual(['live']);
});

test('a rerun by hand keeps the idempotency key, and who had it done and why', async () => {
  const calls: Call[] = [];
  const tell = declare('tell', { handle: recording(calls) });
  await at.system.startReactions([tell]);
  await at.commit([counterCommand('a', { by: 1 })]);
  await at.atRest('tell');
  await until(() => calls.length === 1, { what: 'the first run' });
  const { rows } = await at.system.db.query<{ event_id: string }>('select event_id from reprise.events');
  const eventIds = rows.map((row) => row.event_id);
  const opened = await openReruns(at.system.db, {
    reaction: 'tell',
    eventIds,
    reason: 'the mail was lost',
    actor: 'me',
  });
  expect(opened).toMatchObject([{ entityId: 'a', version: 1, run: 1 }]);
  // Open already: asked twice, it is opened once.
  expect(await openReruns(at.system.db, { reaction: 'tell', eventIds, reason: 'again', actor: 'me' })).toEqual([]);
  await at.seeAllAgain('tell');
  await until(() => calls.length === 2, { what: 'the second run' });
  await at.atRest('tell');
  expect(new Set(calls.map(({ key }) => key)).size).toBe(1);
  const rerun = at.system.temporal.workflow.getHandle(`${at.system.name}reaction/tell/counter/a/1/rerun-1`);
  expect(await rerun.result()).toBe('done');
  expect((await at.system.db.query('select reason, actor, run from reprise.reruns')).rows).toEqual([
    { reason: 'the mail was lost', actor: 'me', run: 1 },
  ]);
});

test('a reaction must say why twice does no harm', () => {
  expect(() => reaction('careless', { on: [counterAdded], handle: async () => undefined } as never)).toThrow(
    /say why twice does no harm/,
  );
});
