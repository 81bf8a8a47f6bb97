import { Worker, type NativeConnection } from '@temporalio/worker';
import type { Model } from '../model/model';
import { REPLAY_QUEUE } from '../workflows/names';
import { runTogether, type Running } from './running';

export interface ReplayWorkerOptions {
  readonly model: Model;
  readonly connection: NativeConnection;
  readonly namespace: string;
  readonly databaseUrl: string;
  readonly readUrl: string;
  readonly idPrefix?: string;
}

/** Runs replays' workflows. */
export async function runReplayWorker({ connection, namespace, idPrefix = '' }: ReplayWorkerOptions): Promise<Running> {
  const worker = await Worker.create({
    connection,
    namespace,
    taskQueue: idPrefix + REPLAY_QUEUE,
    workflowsPath: require.resolve('../workflows/replay'),
  });
  return runTogether([worker], { close: () => Promise.resolve() });
}
