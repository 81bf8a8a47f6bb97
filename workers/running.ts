import type { Worker } from '@temporalio/worker';

/** What a worker process keeps running until it is stopped. */
export interface Running {
  /** Rejects when a worker fails for good; resolves after `stop`. */
  readonly finished: Promise<void>;
  /** Takes no new work, finishes what is under way, closes its connections. May be called twice. */
  readonly stop: () => Promise<void>;
}

export interface RunTogetherOptions {
  /** Tells long activities to end their turn: the worker itself cancels them only when its grace time is over. */
  readonly stopping?: AbortController;
  /** Runs when all workers have drained. */
  readonly close: () => Promise<void>;
}

/** Runs workers as one: the first to fail stops the others. */
export function runTogether(workers: readonly Worker[], { stopping, close }: RunTogetherOptions): Running {
  const stopAll = () => {
    stopping?.abort();
    for (const worker of workers) if (worker.getState() === 'RUNNING') worker.shutdown();
  };
  const runs = workers.map((worker) =>
    worker.run().catch((error: unknown) => {
      stopAll();
      throw error;
    }),
  );
  const finished = Promise.allSettled(runs).then(async (results) => {
    await close();
    const failed = results.find((result) => result.status === 'rejected');
    if (failed) throw failed.reason;
  });
  finished.catch(() => undefined);
  return {
    finished,
    stop: async () => {
      stopAll();
      await finished;
    },
  };
}
