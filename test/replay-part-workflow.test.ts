import { NativeConnection, Worker } from '@temporalio/worker';
import { startReplay } from '../client/replay';
import { makeReplayActivities } from '../activities/replay';
import { makeCommit } from '../activities/commit';
import { toMessage } from '../client/door';
import { openPool } from '../db/pool';
import { model } from '../shop/model';
import { order } from '../shop/order/entity';
import { REPLAY_QUEUE, replayWorkflowId } from '../workflows/names';
import type { Build, ReplayActivities } from '../workflows/replay';
import { INPUT } from './support/filling';
import { create, pay } from './support/orders';
import { TestSystem } from './support/system';

test('a workflow with a choice copies, folds again, fills to the head, makes indexes, and then verifies', async () => {
  const system = await TestSystem.open(model);
  const connection = await NativeConnection.connect({ address: system.address });
  const db = openPool({ url: system.database.urlOf('replay'), max: 8, applicationName: 'test' });
  const commitDb = openPool({ url: system.database.urlOf('commit'), max: 1, applicationName: 'test' });
  const commit = makeCommit({ db: commitDb, model, partitions: 64, wake: () => undefined });
  for (const id of ['1', '2', '3']) {
    await commit([toMessage(order, id, create(), {})]);
    await commit([toMessage(order, id, pay(), {})]);
  }
  // As if the live side had applied all of it, and wrongly.
  await system.db.query(
    `insert into read.order_summary__g1
       (order_id, customer_id, status, currency, total_minor, freight_minor, lines, units, version)
     select n::text, 'wrong', 'created', 'EUR', 1, 0, 1, 1, 1 from generate_series(1, 3) n`,
  );
  await system.db.query(
    `update reprise.checkpoints c set next_offset = p.head + 1 from reprise.partitions p
     where p.partition = c.partition and c.consumer = 'projection/order_summary'`,
  );
  const signal = () => new AbortController().signal;
  const seen: Record<string, unknown>[] = [];
  const activities: ReplayActivities = {
    ...makeReplayActivities({ db, readDb: system.db, model, heartbeat: () => undefined, signal }),
    verify: async ({ generation }: Build) => {
      const { rows } = await system.db.query<Record<string, unknown>>(
        `select order_id, status from read.order_summary__g${generation} order by 1`,
      );
      seen.push(...rows);
      return { passed: true, summary: 'looked at' };
    },
    drop: async ({ consumer, generation }) => {
      await db.query('select reprise.drop_generation($1::text, $2::integer)', [consumer, generation]);
    },
    switchOver: () => Promise.reject(new Error('not asked for')),
    rollBack: () => Promise.reject(new Error('not asked for')),
  };
  const worker = await Worker.create({
    connection,
    taskQueue: system.name + REPLAY_QUEUE,
    workflowsPath: require.resolve('../workflows/replay'),
    activities,
  });
  await worker.runUntil(async () => {
    const door = { temporal: system.temporal, idPrefix: system.name };
    const selection = { entities: ['order/2'] };
    await startReplay(door, { ...INPUT, projection: 'order_summary', selection, rehearsal: true });
    const handle = system.temporal.workflow.getHandle(system.name + replayWorkflowId('order_summary'));
    expect(await handle.result()).toBe('ended');
  });
  expect(seen).toEqual([
    { order_id: '1', status: 'created' },
    { order_id: '2', status: 'paid' },
    { order_id: '3', status: 'created' },
  ]);
  await Promise.all([db.end(), commitDb.end(), connection.close()]);
  await system.close();
}, 120_000);
