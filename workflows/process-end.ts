import {
  ApplicationFailure,
  CancellationScope,
  ContinueAsNew,
  isCancellation,
  proxyActivities,
  type WorkflowInterceptors,
} from '@temporalio/workflow';
import { REACTIONS_QUEUE } from './names';
import { CARRIES, type ProcessInput } from './process';
import type { NoteActivities } from './reaction';

/** Loaded beside the project's processes: a process's end is in `reactions` before Temporal may forget it. */
export const interceptors = (): WorkflowInterceptors => ({
  inbound: [
    {
      execute: async (input, next) => {
        const [{ ref, queuePrefix }] = input.args as [ProcessInput];
        const { noteDone, giveUp } = proxyActivities<NoteActivities>({
          taskQueue: queuePrefix + REACTIONS_QUEUE,
          startToCloseTimeout: '30 seconds',
          retry: { initialInterval: 200, backoffCoefficient: 2, maximumInterval: '10 seconds' },
        });
        try {
          const result = await next(input);
          await CancellationScope.nonCancellable(() => noteDone(ref));
          return result;
        } catch (error) {
          if (error instanceof ContinueAsNew && CARRIES in error) throw error;
          const reason = reasonOf(error);
          // Also when somebody cancelled it: the row must not stay open for ever.
          await CancellationScope.nonCancellable(() => giveUp(ref, { error: reason, attempts: 1 }));
          if (isCancellation(error)) throw error;
          // Any other error would fail its workflow task, which is tried for ever beside a reaction that is parked.
          throw ApplicationFailure.nonRetryable(reason, 'ReactionParked');
        }
      },
    },
  ],
});

const reasonOf = (error: unknown): string => {
  // Its counters, and what it has not taken yet, live in memory: after it, a step would be taken for a repeat.
  if (error instanceof ContinueAsNew) {
    return 'a process continues as new by openProcess(...).continueAsNew(): otherwise what it counted would be forgotten';
  }
  const { message, cause } = error as { message?: string; cause?: { message?: string } };
  return cause?.message ?? message ?? String(error);
};
