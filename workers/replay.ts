import { cancellationSignal, heartbeat } from '@temporalio/activity';
import { Worker, type NativeConnection } from '@temporalio/worker';
import { makeReplayActivities } from '../activities/replay';
import { makeAuditActivities } from '../activities/replay/audit';
import { openPool } from '../db/pool';
import type { Model } from '../model/model';
import { REPLAY_QUEUE } from '../workflows/names';
import { runTogether, type Running } from './running';

export interface ReplayWorkerOptions {
  readonly model: Model;
  readonly connection: NativeConnection;
  readonly namespace: string;
  /** Login `reprise_replay`. */
  readonly databaseUrl: string;
  /** Login `reprise_read`: compares what was built with what is live. */
  readonly readUrl: string;
  /** Before every workflow id and task queue: tells apart systems that share a namespace. */
  readonly idPrefix?: string;
}

const SHUTDOWN_GRACE = '10 seconds';
// Three lanes with a read ahead each, a transaction each, and one for the pace.
const CONNECTIONS = 8;
const READ_CONNECTIONS = 3;

/** Runs replays and audits, and nothing else: a queue and a bundle of their own, and a login that reads the log and writes what it builds. */
export async function runReplayWorker(options: ReplayWorkerOptions): Promise<Running> {
  const { model, connection, namespace, databaseUrl, readUrl, idPrefix = '' } = options;
  const db = openPool({ url: databaseUrl, max: CONNECTIONS, applicationName: 'reprise-replay' });
  const readDb = openPool({ url: readUrl, max: READ_CONNECTIONS, applicationName: 'reprise-replay' });
  const stopping = new AbortController();
  const signal = () => AbortSignal.any([cancellationSignal(), stopping.signal]);
  const ports = { db, readDb, model, heartbeat, signal };
  const worker = await Worker.create({
    connection,
    namespace,
    taskQueue: idPrefix + REPLAY_QUEUE,
    ...replayWorkflows(process.env),
    activities: { ...makeReplayActivities(ports), ...makeAuditActivities(ports) },
    maxConcurrentActivityTaskExecutions: 8,
    // A replay takes few tasks. Kept nowhere, it is nobody's in particular: a killed worker's cache held up the next by 10 s.
    maxCachedWorkflows: 0,
    shutdownGraceTime: SHUTDOWN_GRACE,
  });
  return runTogether([worker], {
    stopping,
    close: async () => {
      await Promise.all([db.end(), readDb.end()]);
    },
  });
}

/** A bundle made beforehand (`REPRISE_REPLAY_BUNDLE`), else made now, in seconds. */
function replayWorkflows(env: NodeJS.ProcessEnv) {
  const codePath = env['REPRISE_REPLAY_BUNDLE'];
  return codePath ? { workflowBundle: { codePath } } : { workflowsPath: require.resolve('../workflows/replay') };
}
