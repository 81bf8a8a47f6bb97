import { activityInfo, cancellationSignal, heartbeat } from '@temporalio/activity';
import type { Client } from '@temporalio/client';
import { Worker, type NativeConnection } from '@temporalio/worker';
import type { Pool } from 'pg';
import { makeProjector } from '../activities/project';
import { describeTable } from '../db/read-model-table';
import { tailLog } from '../activities/tail';
import { NOT_WATCHED, watchTurn, type ConsumerWatch } from '../activities/watch';
import { openPool } from '../db/pool';
import { listenForWakes, type WakeListener } from '../db/wake';
import type { Model } from '../model/model';
import type { Projection } from '../model/projection';
import type { ConsumerActivities, TailEnd } from '../workflows/consumer';
import { CONSUMERS_QUEUE, projectionConsumer, projectionQueue } from '../workflows/names';
import { keepConsumersStarted } from './start-consumers';
import { makeRelays } from './relays';
import { runTogether, type Running } from './running';
import { wantedConsumers } from './wanted-consumers';
import { workflowSource } from './workflow-source';

export interface ConsumersWorkerOptions {
  readonly model: Model;
  readonly connection: NativeConnection;
  /** Starts the consumers' workflows. */
  readonly client: Client;
  readonly namespace: string;
  /** Login `reprise_project`. */
  readonly databaseUrl: string;
  /** Login `reprise_relay`; without it no relay runs here. */
  readonly relayUrl?: string;
  /** Where the brokers are: `NATS_URL`, `AMQP_URL`, `KAFKA_BROKERS`. */
  readonly env?: NodeJS.ProcessEnv;
  /** More parked entities than this stop a consumer. Default 100. */
  readonly parkedMax?: number | undefined;
  /** Before every workflow id and task queue: tells apart systems that share a namespace. */
  readonly idPrefix?: string;
  /** Asked once per consumer, for what it is told about it. */
  readonly watch?: (consumer: string) => ConsumerWatch;
}

const SHUTDOWN_GRACE = '10 seconds';

/** Runs the consumers of the log: one workflow per projection and generation, its activity on a queue of its version. */
export async function runConsumersWorker(options: ConsumersWorkerOptions): Promise<Running> {
  const { model, connection, namespace, client, databaseUrl, idPrefix = '', parkedMax, watch } = options;
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
        activities: makeTail({ db, wakes, stopping: stopping.signal, parkedMax, watch }, model, projection),
        maxConcurrentActivityTaskExecutions: 4,
        shutdownGraceTime: SHUTDOWN_GRACE,
      }),
    ),
  );
  const relays = await makeRelays(options, wakes, stopping.signal);
  const wanted = () => wantedConsumers(db, model);
  const starting = await keepConsumersStarted(
    { client, idPrefix, queue: CONSUMERS_QUEUE, wanted, wakes },
    stopping.signal,
  );
  return runTogether([workflows, ...projectors, ...relays.workers], {
    stopping,
    close: async () => {
      await starting.ended;
      await wakes.close();
      await Promise.all([db.end(), relays.close()]);
    },
  });
}

interface TailSources {
  readonly db: Pool;
  readonly wakes: WakeListener;
  readonly stopping: AbortSignal;
  readonly parkedMax: number | undefined;
  readonly watch: ConsumersWorkerOptions['watch'];
}

/** The tail of one projection. A second run takes over at the checkpoints; the first, if it lives, is fenced. */
function makeTail(sources: TailSources, model: Model, projection: Projection): ConsumerActivities {
  const { db, wakes, stopping, parkedMax } = sources;
  const watch = sources.watch?.(projectionConsumer(projection.name)) ?? NOT_WATCHED;
  return {
    tail: ({ generation }) =>
      watchTurn<TailEnd>(watch, activityInfo().attempt, async () => {
        const tableName = await tableOf(db, projection, generation);
        if (tableName === null) return 'gone';
        const table = await describeTable(db, tableName);
        const signal = AbortSignal.any([cancellationSignal(), stopping]);
        const projector = makeProjector({ model, projection, generation, table });
        await tailLog(projector, { db, wakes, heartbeat, signal, parkedMax, watch });
        return 'turn-over';
      }),
  };
}

/** Null: it was dropped. */
async function tableOf(db: Pool, { name, version }: Projection, generation: number): Promise<string | null> {
  const { rows } = await db.query<{ table_name: string; declared_version: number; status: string }>(
    `select table_name, declared_version, status from reprise.generations
     where consumer = $1::text and generation = $2::integer`,
    [projectionConsumer(name), generation],
  );
  const row = rows[0];
  if (!row) throw new Error(`${projectionConsumer(name)} has no generation ${generation}: run 'reprise migrate'`);
  if (row.status === 'dropped') return null;
  if (row.declared_version !== version) {
    throw new Error(`generation ${generation} of ${name} is fed by version ${row.declared_version}, not ${version}`);
  }
  return row.table_name;
}
