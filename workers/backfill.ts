import { activityInfo, ApplicationFailure, cancellationSignal, heartbeat } from '@temporalio/activity';
import { Worker, type NativeConnection } from '@temporalio/worker';
import { makeBackfills, type Backfills } from '../activities/backfill';
import { LANES } from '../activities/backfill/bring-page';
import { BackfillFailed } from '../activities/backfill/source';
import { Contended, type CommitWatch } from '../activities/commit';
import { errorText } from '../activities/error-text';
import { BehindCode } from '../contracts/upcast';
import { TakenOver } from '../db/backfills';
import { kindOf } from '../db/errors';
import { readIdentity } from '../db/identity';
import { openPool } from '../db/pool';
import { makeWaker } from '../db/wake';
import type { Backfill } from '../model/backfill';
import type { Model } from '../model/model';
import type { BackfillActivities } from '../workflows/backfill';
import { BACKFILL_QUEUE } from '../workflows/names';
import { runTogether, type Running } from './running';
import { workflowSource } from './workflow-source';

export interface BackfillWorkerOptions {
  readonly model: Model;
  readonly backfills: readonly Backfill[];
  readonly connection: NativeConnection;
  readonly namespace: string;
  /** Login `reprise_commit`. */
  readonly databaseUrl: string;
  readonly idPrefix?: string;
  /** Where the addresses of queries are. Default: this process's. */
  readonly env?: NodeJS.ProcessEnv;
  readonly watch?: CommitWatch;
}

const SHUTDOWN_GRACE = '10 seconds';
// Each run takes one per lane and two beside them: to see what is wanted, and to wake consumers.
const RUNS_AT_ONCE = 2;
const POLLS = 2;
const CONNECTIONS = RUNS_AT_ONCE * (LANES + 2);

/**
 * Brings history in. A worker of its own: it commits as the entity worker does, by the same login, but works through millions
 * of rows, which in the entity worker's process every live command would wait behind.
 */
export async function runBackfillWorker(options: BackfillWorkerOptions): Promise<Running> {
  const { model, backfills, connection, namespace, databaseUrl, idPrefix = '', env = process.env, watch } = options;
  const db = openPool({ url: databaseUrl, max: CONNECTIONS, applicationName: 'reprise-backfill' });
  const stopping = new AbortController();
  const { partitions } = await readIdentity(db);
  const made = makeBackfills({ db, model, backfills, partitions, wake: makeWaker(db), env, watch });
  const worker = await Worker.create({
    connection,
    namespace,
    taskQueue: idPrefix + BACKFILL_QUEUE,
    ...workflowSource(process.env),
    activities: toActivities(made, stopping.signal),
    // One more than runs, so that what is wanted of them gets through.
    maxConcurrentActivityTaskExecutions: RUNS_AT_ONCE + 2,
    // It is asked for something every few seconds at most: the least that polls keeps it idle.
    maxConcurrentWorkflowTaskPolls: POLLS,
    maxConcurrentActivityTaskPolls: POLLS,
    maxCachedWorkflows: 0, // as in workers/consumers.ts: nobody's in particular
    shutdownGraceTime: SHUTDOWN_GRACE,
  });
  return runTogether([worker], { stopping, close: () => db.end() });
}

function toActivities({ openRun, bring, steer, closeRun }: Backfills, stopping: AbortSignal): BackfillActivities {
  return {
    openRun: (input) => telling(() => openRun(input)),
    bring: (input) =>
      telling(() => bring(input, { signal: AbortSignal.any([cancellationSignal(), stopping]), heartbeat })),
    steer: (input) => telling(() => steer(input)),
    closeRun: (input) => telling(() => closeRun(input)),
  };
}

// What is not known to pass is tried so often, then the run has failed and says why.
const ATTEMPTS_OF_A_BUG = 5;
const TAKEN_OVER = 'RP002';

/** Tells Temporal what no further try helps, so that a run fails with its reason instead of trying for ever. */
async function telling<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof BackfillFailed) throw ApplicationFailure.nonRetryable(error.message, error.code);
    if (error instanceof TakenOver || (error as { code?: unknown } | null)?.code === TAKEN_OVER) {
      throw ApplicationFailure.nonRetryable('another owner brings this backfill', 'taken_over');
    }
    if (isPassing(error) || activityInfo().attempt < ATTEMPTS_OF_A_BUG) throw error;
    throw ApplicationFailure.nonRetryable(errorText(error), 'failed');
  }
}

const isPassing = (error: unknown): boolean =>
  error instanceof Contended || error instanceof BehindCode || ['passing', 'moved'].includes(kindOf(error));
