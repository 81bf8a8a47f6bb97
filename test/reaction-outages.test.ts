import { readParked } from '../db/parked';
import type { ReactionContext } from '../model/reaction';
import { startChild } from './support/child';
import { counterCommand } from './support/counters';
import { Proxy } from './support/proxy';
import { counterAdded, declare, openReacting, recording, type Call, type Reacting } from './support/reacting';
import { until } from './support/until';

// Tries are the project's own: what is away around them uses up none, and is seen in Temporal while it is away.

let at: Reacting;
beforeEach(async () => {
  at = await openReacting();
});
afterEach(() => at.close());

/** What Temporal says of the activity that a started workflow waits for. */
async function pendingOf(id: string): Promise<{ tries: number; said: string }> {
  await at.untilStatus(id.slice(0, id.indexOf('/')), { lag_events: 0 });
  const { raw } = await at.system.temporal.workflow.getHandle(`${at.system.name}reaction/${id}`).describe();
  const [pending] = raw.pendingActivities ?? [];
  return { tries: pending?.attempt ?? 0, said: JSON.stringify(pending?.lastFailure ?? {}) };
}

async function throughProxy(): Promise<{ readonly proxy: Proxy; readonly databaseUrl: string }> {
  const url = new URL(at.system.database.urlOf('react'));
  const proxy = await Proxy.to(Number(url.port));
  url.port = String(proxy.port);
  url.hostname = '127.0.0.1';
  return { proxy, databaseUrl: url.toString() };
}

test('PostgreSQL is away for longer than all tries: nothing is parked, and what was done is not done again', async () => {
  const calls: Call[] = [];
  const letGo: (() => void)[] = [];
  const handle = recording(calls, ({ entityId }) =>
    entityId === 'under-way' ? new Promise<void>((done) => letGo.push(done)) : undefined,
  );
  const { proxy, databaseUrl } = await throughProxy();
  const worker = await at.system.startReactions(
    [declare('patient', { handle, retry: { attempts: 1, firstMs: 20 }, limits: { concurrent: 2 } })],
    { databaseUrl },
  );
  await at.commit(['under-way', 'under-way-2'].map((id) => counterCommand(id, { by: 1 })));
  await until(() => letGo.length === 1, { what: 'one is under way' });
  await at.untilStatus('patient', { done: 1 });
  await at.commit([counterCommand('under-way', { by: 2 })]);
  await until(() => letGo.length === 2, { what: 'both places are taken' });
  await at.commit([counterCommand('waits', { by: 3 })]);
  await at.untilStatus('patient', { lag_events: 0 });

  proxy.goAway();
  for (const go of letGo) go();
  const waiting = await until(
    async () => {
      const pending = await pendingOf('patient/counter/waits/1');
      return pending.tries >= 3 ? pending : null;
    },
    { what: 'it was tried more often than it may fail' },
  );
  expect(waiting.said).toMatch(/Unavailable/);
  expect(await at.statusOf('patient')).toMatchObject({ parked: 0, open: 3 });
  proxy.heal();
  await at.atRest('patient');
  expect(await at.statusOf('patient')).toMatchObject({ done: 4, parked: 0 });
  expect(calls.map(({ entityId, by, attempt }) => [entityId, by, attempt]).sort()).toEqual([
    ['under-way', 1, 1],
    ['under-way', 2, 1],
    ['under-way-2', 1, 1],
    ['waits', 3, 1],
  ]);
  await worker.stop();
  await proxy.close();
});

test('nobody answers a command: its sender has not failed', async () => {
  const calls: Call[] = [];
  const handle = recording(calls, async (_call, { send }: ReactionContext) => {
    await send('counter', 'other', { kind: 'command', name: 'add', version: 1, data: { by: 1 } });
  });
  const when = ({ entityId }: { entityId: string }) => entityId !== 'other';
  await at.system.startReactions([declare('sender', { handle, when, retry: { attempts: 1, firstMs: 20 } })]);
  await at.commit([counterCommand('a', { by: 1 })]);
  await until(async () => (await pendingOf('sender/counter/a/1')).said.includes('Unavailable'), {
    what: 'it waits for an answer',
    withinMs: 50_000,
  });
  expect(await at.statusOf('sender')).toMatchObject({ parked: 0, open: 1 });
  await at.system.startEntityWorker();
  await at.untilStatus('sender', { done: 1 }, 40_000);
  expect(new Set(calls.map(({ attempt }) => attempt))).toEqual(new Set([1]));
  const { rows } = await at.system.db.query(`select from reprise.events where entity_id = 'other'`);
  expect(rows).toHaveLength(1);
}, 120_000);

test('a step that this code does not have waits for the code that has it', async () => {
  const stepped: string[] = [];
  const lonely = async ({ entityId }: { entityId: string }) => void stepped.push(entityId);
  const pairs = (steps: object) =>
    declare('pair-up', {
      process: 'pairUp',
      takes: [counterAdded],
      when: ({ version }: { version: number }) => version === 1,
      settings: () => ({ waitMs: 10 }),
      steps,
      retry: { attempts: 1 },
    });
  const processesPath = require.resolve('./support/processes');
  const older = await at.system.startReactions([pairs({})], { processesPath });
  await at.commit([counterCommand('early', { by: 1 })]);
  await until(async () => (await pendingOf('pair-up/counter/early/1')).tries >= 2, { what: 'it was asked for twice' });
  expect((await pendingOf('pair-up/counter/early/1')).said).toMatch(/deploy the worker that has it/);
  await older.stop();
  await at.system.startEntityWorker();
  await at.system.startReactions([pairs({ lonely })], { processesPath });
  await at.untilStatus('pair-up', { done: 1 });
  expect(stepped).toEqual(['early']);
});

test('a step that fails is tried as often as declared, each counted, whatever else the process does', async () => {
  const tries: number[] = [];
  const lonely = async (_input: unknown, { attempt }: ReactionContext) => {
    tries.push(attempt);
    throw new Error(`no ${attempt}`);
  };
  await at.system.startReactions(
    [
      declare('pair-up', {
        process: 'pairUp',
        settings: () => ({ waitMs: 10 }),
        steps: { lonely },
        retry: { attempts: 3, firstMs: 10 },
      }),
    ],
    { processesPath: require.resolve('./support/processes') },
  );
  await at.commit([counterCommand('a', { by: 1 })]);
  await at.untilStatus('pair-up', { parked: 1 });
  expect(tries).toEqual([1, 2, 3]);
  expect(await readParked(at.system.db, 'reaction/pair-up', null)).toMatchObject([{ error: 'no 3' }]);
});

test('a handler that kills its process has used up a try each time, and is parked; others are done', async () => {
  const env = {
    CHILD_TEMPORAL: at.system.address,
    CHILD_DATABASE_URL: at.system.database.urlOf('react'),
    CHILD_PREFIX: at.system.name,
  };
  const ensured = await at.system.startReactions([declare('mortal', { handle: async () => undefined })]);
  await ensured.stop();
  await at.commit([counterCommand('killer', { by: 1 })]);
  let deaths = 0;
  for (; deaths < 2; deaths++) {
    const child = startChild('dying-reactions.ts', env);
    await until(child.ended, { what: 'it died of its handler', withinMs: 60_000 });
    expect(child.messages).toEqual(['killer']);
  }
  await at.commit([counterCommand('quiet', { by: 1 })]);
  const child = startChild('dying-reactions.ts', env);
  await at.untilStatus('mortal', { done: 1, parked: 1, open: 0 }, 60_000);
  expect(child.messages).toEqual(['quiet']);
  expect(await readParked(at.system.db, 'reaction/mortal', null)).toMatchObject([
    { error: 'mortal was begun 2 times, and nobody knows how that ended', attempts: 2 },
  ]);
  await child.kill();
}, 180_000);
