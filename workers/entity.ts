import { Worker, type NativeConnection } from '@temporalio/worker';
import type { CommitWatch } from '../activities/commit';
import { makeGroupCommit } from './group-commit';
import type { Model } from '../model/model';
import type { EntityActivities } from '../workflows/entity';
import { ENTITY_QUEUE } from '../workflows/names';
import { runTogether, type Running } from './running';
import { workflowSource } from './workflow-source';

export interface EntityWorkerOptions {
  readonly model: Model;
  readonly connection: NativeConnection;
  readonly namespace: string;
  /** Login `reprise_commit`. */
  readonly databaseUrl: string;
  readonly taskQueue?: string;
  readonly watch?: CommitWatch;
}

// Far above what is ever open at once: a local activity waits for its turn in `gather`, not for a slot.
const LOCAL_ACTIVITIES_MAX = 500;

// A miss costs a replay of a short history; more would only cost memory.
const CACHED_WORKFLOWS_MAX = 200;

// Longer than a commit and its retry; shorter than what an orchestrator gives a process to stop.
const SHUTDOWN_GRACE = '10 seconds';

/** Runs entity workflows and their commits: the only process that writes truth. */
export async function runEntityWorker(options: EntityWorkerOptions): Promise<Running> {
  const { model, connection, namespace, databaseUrl, taskQueue = ENTITY_QUEUE } = options;
  const { commit, close } = await makeGroupCommit(model, databaseUrl, options.watch);
  const activities: EntityActivities = { commit };
  const worker = await Worker.create({
    connection,
    namespace,
    taskQueue,
    ...workflowSource(process.env),
    activities,
    enableNonLocalActivities: false,
    maxConcurrentLocalActivityExecutions: LOCAL_ACTIVITIES_MAX,
    maxCachedWorkflows: CACHED_WORKFLOWS_MAX,
    shutdownGraceTime: SHUTDOWN_GRACE,
  });
  return runTogether([worker], { close });
}
