import { setTimeout } from 'node:timers/promises';
import { model } from '../shop/model';
import { addNote } from '../shop/order/contract';
import { create } from './support/orders';
import { TestSystem } from './support/system';
import { until } from './support/until';

const NOTES = 2_999;

type Shop = TestSystem<typeof model.entities>;

// Coalesced: one process with more in flight than travels in one update. Single: processes with one in flight each.
test.each([
  ['coalesced', 1, 3],
  ['single', 4, 1],
])(
  '3,000 accepted commands on one order end at version 3,000 over at least two runs (%s)',
  async (name, processes, inFlight) => {
    const system = await TestSystem.open(model);
    await system.startEntityWorker();
    const clients = await Promise.all(Array.from({ length: processes }, () => system.client()));
    await clients[0]?.order(name).send(create());
    let next = 0;
    const outcomes: string[] = [];
    await Promise.all(
      clients.flatMap((client) =>
        Array.from({ length: inFlight }, async () => {
          for (let n = next++; n < NOTES; n = next++) {
            const answer = await client
              .order(name)
              .send(addNote({ text: `note ${n}` }), { commandId: `n${n}`, deadline: 60_000 });
            outcomes.push(answer.outcome);
          }
        }),
      ),
    );
    expect(outcomes.filter((outcome) => outcome === 'accepted')).toHaveLength(NOTES);
    const { rows } = await system.db.query(
      `select count(*) as events, max(version) as version from reprise.events where entity_id = $1`,
      [name],
    );
    expect(rows).toEqual([{ events: 3_000, version: 3_000 }]);
    const { raw, runId } = await system.temporal.workflow.getHandle(`${system.name}order/${name}`).describe();
    const firstRunId = raw.workflowExecutionInfo?.firstRunId ?? '';
    expect(firstRunId).not.toBe(runId);
    expect(await commitsInLastTask(system, name, firstRunId)).toBe(0);
    await system.close();
  },
  300_000,
);

test('a workflow that is never idle continues as new, and what arrives while it leaves is neither lost nor repeated', async () => {
  const system = await TestSystem.open(model);
  await system.startEntityWorker();
  const clients = await Promise.all([1, 2, 3, 4].map(() => system.client()));
  const poster = await system.client();
  await poster.order('busy').send(create());
  const handle = system.temporal.workflow.getHandle(`${system.name}order/busy`);
  const { runId: firstRunId } = await handle.describe();
  let left = false;
  let sent = 0;
  let posted = 0;
  const load = Promise.all([
    ...clients.flatMap((client) =>
      [1, 2, 3].map(async () => {
        while (!left) await client.order('busy').send(addNote({ text: 'n' }), { commandId: `n${++sent}` });
      }),
    ),
    (async () => {
      // Ten a second: faster than a task takes, and Temporal takes no continue-as-new at all.
      while (!left) {
        await poster.order('busy').post(addNote({ text: 'p' }), { commandId: `p${++posted}` });
        await setTimeout(100);
      }
    })(),
  ]);
  await until(async () => (await handle.describe()).runId !== firstRunId, {
    what: 'it continues as new under load',
    withinMs: 240_000,
  });
  left = true;
  await load;
  const count = `select count(*)::int as events, count(distinct command_id)::int as commands, max(version)::int as version
                 from reprise.events where entity_id = 'busy'`;
  const events = 1 + sent + posted;
  const read = async () => (await system.db.query<{ events: number }>(count)).rows[0];
  await until(async () => (await read())?.events === events, { what: 'the last posts are committed' });
  expect(await read()).toEqual({ events, commands: events, version: events });
  expect(await commitsInLastTask(system, 'busy', firstRunId)).toBe(0);
  await system.close();
}, 300_000);

/** A task that leaves may be lost and made again, and a commit in it would be run again with it. */
async function commitsInLastTask(system: Shop, id: string, runId: string): Promise<number> {
  const { events } = await system.temporal.workflow.getHandle(`${system.name}order/${id}`, runId).fetchHistory();
  const lastTask = String(
    events?.at(-1)?.workflowExecutionContinuedAsNewEventAttributes?.workflowTaskCompletedEventId ?? 'still open',
  );
  return (events ?? []).filter(
    ({ markerRecordedEventAttributes: marker }) =>
      marker?.markerName === 'core_local_activity' && String(marker.workflowTaskCompletedEventId) === lastTask,
  ).length;
}
