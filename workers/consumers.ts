import { cancellationSignal, heartbeat } from '@temporalio/activity';
import type { Client } from '@temporalio/client';
import { Worker, type NativeConnection } from '@temporalio/worker';
import type { Pool } from 'pg';
import { makeProjector } from '../activities/project';
import { describeTable } from '../activities/project/rows';
import { tailLog } from '../activities/tail';
import { openPool } from '../db/pool';
import { listenForWakes, type WakeListener } from '../db/wake';
import type { Model } from '../model/model';
import type { Projection } from '../model/projection';
import type { ConsumerActivities, ConsumerInput } from '../workflows/consumer';
import { CONSUMER_WORKFLOW, CONSUMERS_QUEUE, projectionConsumer, projectionQueue } from '../workflows/names';
import { runTogether, type Running } from './running';
import { workflowSource } from './workflow-source';

export interface ConsumersWorkerOptions {
  readonly model: Model;
  readonly connection: NativeConnection;
  /** Starts the consumers' workflows. */
  readonly client: Client;
  readonly namespace: string;
  /** Login `reprise_project`. */
  readonly databaseUrl: string;
  /** Before every workflow id and task queue: tells apart systems that share a namespace. */
  readonly idPrefix?: string;
}

const SHUTDOWN_GRACE = '10 seconds';

/** Runs the consumers of the log: one workflow per projection and generation, its activity on a queue of its version. */
export async function runConsumersWorker(options: ConsumersWorkerOptions): Promise<Running> {
  const { model, connection, namespace, client, databaseUrl, idPrefix = '' } = options;
  const db = openPool({ url: databaseUrl, max: model.projections.length + 1, applicationName: 'reprise-consumers' });
  const wakes = listenForWakes(databaseUrl);
  const stopping = new AbortController();
  const workflows = await Worker.create({
    connection,
    namespace,
    taskQueue: idPrefix + CONSUMERS_QUEUE,
    ...workflowSource(process.env),
    // A consumer's workflow takes a task an hour. Kept nowhere, it is nobody's in particular: with a cache its next task
    // waited 10 s for the worker that had stopped.
    maxCachedWorkflows: 0,
    shutdownGraceTime: SHUTDOWN_GRACE,
  });
  const projectors = await Promise.all(
    model.projections.map((projection) =>
      Worker.create({
        connection,
        namespace,
        taskQueue: idPrefix + projectionQueue(projection.name, projection.version),
        activities: makeTail({ db, wakes, stopping: stopping.signal }, model, projection),
        maxConcurrentActivityTaskExecutions: 4,
        shutdownGraceTime: SHUTDOWN_GRACE,
      }),
    ),
  );
  await startConsumers(client, db, model, idPrefix);
  return runTogether([workflows, ...projectors], {
    stopping,
    close: async () => {
      await wakes.close();
      await db.end();
    },
  });
}

interface TailSources {
  readonly db: Pool;
  readonly wakes: WakeListener;
  readonly stopping: AbortSignal;
}

/** The tail of one projection. A second run takes over at the checkpoints; the first, if it lives, is fenced. */
function makeTail({ db, wakes, stopping }: TailSources, model: Model, projection: Projection): ConsumerActivities {
  return {
    tail: async ({ generation }) => {
      const table = await describeTable(db, await tableOf(db, projection, generation));
      const signal = AbortSignal.any([cancellationSignal(), stopping]);
      await tailLog(makeProjector({ model, projection, generation, table }), { db, wakes, heartbeat, signal });
    },
  };
}

async function tableOf(db: Pool, { name, version }: Projection, generation: number): Promise<string> {
  const { rows } = await db.query<{ table_name: string; declared_version: number }>(
    `select table_name, declared_version from reprise.generations
     where consumer = $1::text and generation = $2::integer and status <> 'dropped'`,
    [projectionConsumer(name), generation],
  );
  const row = rows[0];
  if (!row) throw new Error(`${projectionConsumer(name)} has no generation ${generation}: run 'reprise migrate'`);
  if (row.declared_version !== version) {
    throw new Error(`generation ${generation} of ${name} is fed by version ${row.declared_version}, not ${version}`);
  }
  return row.table_name;
}

/** Starts what should run and does not: the workflow of every generation that is fed. */
async function startConsumers(client: Client, db: Pool, model: Model, idPrefix: string): Promise<void> {
  const { rows } = await db.query<{ consumer: string; generation: number; declared_version: number }>(
    `select consumer, generation, declared_version from reprise.generations where status in ('active', 'standby')`,
  );
  for (const { consumer, generation, declared_version } of rows) {
    const projection = model.projections.find(({ name }) => projectionConsumer(name) === consumer);
    if (!projection) continue;
    const taskQueue = idPrefix + projectionQueue(projection.name, declared_version);
    const input: ConsumerInput = { consumer, generation, taskQueue };
    await client.workflow.start(CONSUMER_WORKFLOW, {
      workflowId: `${idPrefix}${consumer}/g${generation}`,
      taskQueue: idPrefix + CONSUMERS_QUEUE,
      args: [input],
      workflowIdConflictPolicy: 'USE_EXISTING',
      workflowIdReusePolicy: 'ALLOW_DUPLICATE',
      staticSummary: `feeds read.${projection.name}, generation ${generation}`,
    });
  }
}
