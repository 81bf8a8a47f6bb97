import type { RecordedEvent } from '../contracts/event';
import { readParked } from '../db/parked';
import { openReruns } from '../db/reactions';
import type { AnyReaction, ReactionContext } from '../model/reaction';
import { counterCommand } from './support/counters';
import { counterAdded, declare, openReacting, type Reacting } from './support/reacting';
import { until } from './support/until';

let at: Reacting;
beforeEach(async () => {
  at = await openReacting();
});
afterEach(() => at.close());

const processesPath = require.resolve('./support/processes');
const pairs = (stepped: string[], waitMs: number): AnyReaction =>
  declare('pair-up', {
    process: 'pairUp',
    takes: [counterAdded],
    when: ({ version }: RecordedEvent) => version === 1,
    settings: () => ({ waitMs }),
    steps: {
      lonely: async ({ entityId }: { entityId: string }, { idempotencyKey }: ReactionContext) =>
        void stepped.push(`${entityId} ${idempotencyKey}`),
    },
  });

test('a process takes further events of its entity, waits, steps outside and sends commands', async () => {
  const stepped: string[] = [];
  await at.system.startEntityWorker();
  await at.system.startReactions([pairs(stepped, 1_500)], { processesPath });
  await at.commit([counterCommand('two', { by: 1 }), counterCommand('one', { by: 1 })]);
  await at.commit([counterCommand('two', { by: 2 })]);
  await at.atRest('pair-up');
  await until(async () => (await at.statusOf('pair-up')).done === 2, { what: 'both have ended' });
  expect(stepped).toEqual(['one reaction/pair-up/counter/one/1/lonely/1']);
  const result = (id: string) =>
    at.system.temporal.workflow.getHandle(`${at.system.name}reaction/pair-up/counter/${id}/1`).result();
  expect([await result('two'), await result('one')]).toEqual(['paired with 2', 'added alone: accepted']);
  const { rows } = await at.system.db.query(
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
  await at.system.startEntityWorker();
  const running = await at.system.startReactions([pairs(stepped, 60_000)], { processesPath });
  await at.commit([counterCommand('lost', { by: 1 })]);
  await until(async () => (await at.statusOf('pair-up')).open === 1, { what: 'it is open' });
  await running.stop();
  const workflowId = `${at.system.name}reaction/pair-up/counter/lost/1`;
  await at.system.temporal.workflowService.deleteWorkflowExecution({
    namespace: 'default',
    workflowExecution: { workflowId },
  });
  await until(
    () =>
      at.system.temporal.workflow
        .getHandle(workflowId)
        .describe()
        .then(() => null)
        .catch(() => true),
    { what: 'it is gone' },
  );
  await at.system.startReactions([pairs(stepped, 60_000)], { processesPath });
  await at.commit([counterCommand('lost', { by: 2 })]);
  await until(async () => (await at.statusOf('pair-up')).done === 1, { what: 'it has ended' });
  expect(stepped).toEqual([]);
});

test('a process that fails, or that somebody ends, is parked', async () => {
  await at.system.startReactions([declare('fails', { process: 'failing' })], { processesPath });
  await at.commit([counterCommand('a', { by: 1 })]);
  await until(async () => (await at.statusOf('fails')).parked === 1, { what: 'it is parked' });
  expect(await readParked(at.system.db, 'reaction/fails', null)).toMatchObject([
    { error: 'this process cannot go on' },
  ]);
  const status = async (id: string) =>
    (await at.system.temporal.workflow.getHandle(`${at.system.name}reaction/${id}`).describe()).status.name;
  await until(async () => (await status('fails/counter/a/1')) === 'FAILED', { what: 'its workflow has ended' });

  await at.system.startReactions([pairs([], 60_000)], { processesPath });
  await at.commit([counterCommand('cancelled', { by: 1 })]);
  await until(async () => (await at.statusOf('pair-up')).open === 1, { what: 'it is open' });
  await at.system.temporal.workflow.getHandle(`${at.system.name}reaction/pair-up/counter/cancelled/1`).cancel();
  await until(async () => (await at.statusOf('pair-up')).parked === 1, { what: 'the cancelled one is parked' });
});

test('a process continues as new: events it has not taken come along, and its steps are counted on', async () => {
  const keys: string[] = [];
  const count = async (by: number, { idempotencyKey }: ReactionContext) => void keys.push(`${idempotencyKey}: ${by}`);
  const tally = declare('tally', {
    process: 'tally',
    takes: [counterAdded],
    when: ({ version }: RecordedEvent) => version === 1,
    steps: { count },
  });
  await at.system.startReactions([tally], { processesPath });
  await at.commit([1, 2, 4, 8, 16, 32].map((by) => counterCommand('sum', { by })));
  await until(() => keys.length === 5, { what: 'all but the first, which started it, are counted' });
  await at.commit([counterCommand('sum', { by: 0 })]);
  await at.untilStatus('tally', { done: 1 });
  expect(keys).toEqual([2, 4, 8, 16, 32].map((by, n) => `reaction/tally/counter/sum/1/count/${n + 1}: ${by}`));
  const workflow = at.system.temporal.workflow.getHandle(`${at.system.name}reaction/tally/counter/sum/1`);
  expect(await workflow.result()).toBe(62);
});

test('a process that would forget what it counted is parked, and told what to do instead', async () => {
  await at.system.startReactions([declare('forgetful', { process: 'forgetful' })], { processesPath });
  await at.commit([counterCommand('a', { by: 1 })]);
  await at.untilStatus('forgetful', { parked: 1 });
  const [parked] = await readParked(at.system.db, 'reaction/forgetful', null);
  expect(parked?.error).toMatch(/continues as new by openProcess\(\.\.\.\)\.continueAsNew\(\)/);
});

test('a process is run again by hand: from its start, under the same keys, with what it was told', async () => {
  const stepped: string[] = [];
  await at.system.startEntityWorker();
  await at.system.startReactions([pairs(stepped, 50)], { processesPath });
  await at.commit([counterCommand('a', { by: 1 })]);
  await at.untilStatus('pair-up', { done: 1, open: 0 });
  const { rows } = await at.system.db.query<{ event_id: string }>(
    `select event_id from reprise.events where version = 1`,
  );
  const eventIds = rows.map((row) => row.event_id);
  const [opened] = await openReruns(at.system.db, { reaction: 'pair-up', eventIds, reason: 'to see', actor: 'me' });
  await at.seeAllAgain('pair-up');
  await at.untilStatus('pair-up', { done: 1, open: 0, lag_events: 0 });
  const rerun = at.system.temporal.workflow.getHandle(`${at.system.name}reaction/pair-up/counter/a/1/rerun-1`);
  // It sent a command the first time, so that there is a second addition now.
  expect([opened?.run, await rerun.result()]).toEqual([1, 'paired with 2']);
  expect(stepped).toEqual(['a reaction/pair-up/counter/a/1/lonely/1']);
});

test('a workflow file that imports what Node has is refused at start', async () => {
  await expect(
    at.system.startReactions([pairs([], 1)], { processesPath: require.resolve('./support/process-with-node') }),
  ).rejects.toThrow(/imports node:fs, which belongs to Node/);
});
