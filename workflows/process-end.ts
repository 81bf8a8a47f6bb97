import { ContinueAsNew, proxyActivities, type WorkflowInterceptors } from '@temporalio/workflow';
import { REACTIONS_QUEUE } from './names';
import type { ProcessInput } from './process';
import type { EndActivities, ReactionRef } from './reaction';

export interface ProcessEndActivities extends EndActivities {
  /** Notes that a process has ended: nothing starts it again. */
  readonly noteDone: (ref: ReactionRef) => Promise<void>;
}

/** Loaded beside the project's processes: a process's end is in `reactions` before Temporal may forget it. */
export const interceptors = (): WorkflowInterceptors => ({
  inbound: [
    {
      execute: async (input, next) => {
        const [{ ref, queuePrefix }] = input.args as [ProcessInput];
        const { noteDone, giveUp } = proxyActivities<ProcessEndActivities>({
          taskQueue: queuePrefix + REACTIONS_QUEUE,
          startToCloseTimeout: '30 seconds',
          retry: { initialInterval: 200, backoffCoefficient: 2, maximumInterval: '10 seconds' },
        });
        try {
          const result = await next(input);
          await noteDone(ref);
          return result;
        } catch (error) {
          if (error instanceof ContinueAsNew) throw error;
          await giveUp(ref, { error: reasonOf(error), attempts: 1 });
          throw error;
        }
      },
    },
  ],
});

const reasonOf = (error: unknown): string => {
  const { message, cause } = error as { message?: string; cause?: { message?: string } };
  return cause?.message ?? message ?? String(error);
};
