import { continueAsNew, proxyActivities, setCurrentDetails, workflowInfo } from '@temporalio/workflow';

/** Which consumer this workflow keeps running, and where its code is. */
export interface ConsumerInput {
  readonly consumer: string;
  readonly generation: number;
  /** The task queue of workers that can feed it. */
  readonly taskQueue: string;
}

/** `gone`: the consumer was removed, and nothing is left to keep running. */
export type TailEnd = 'turn-over' | 'gone';

export interface ConsumerActivities {
  /** Tails the log until its worker stops or its turn ends; where it stands is in `checkpoints`, not in its answer. */
  tail(input: ConsumerInput): Promise<TailEnd>;
}

/** Keeps one consumer tailing the log: Temporal starts it elsewhere when its worker dies. */
export async function consumer(input: ConsumerInput): Promise<void> {
  const { tail } = proxyActivities<ConsumerActivities>({
    taskQueue: input.taskQueue,
    startToCloseTimeout: '2 hours',
    heartbeatTimeout: '10 seconds',
    retry: { initialInterval: 200, backoffCoefficient: 2, maximumInterval: '10 seconds' },
  });
  setCurrentDetails(`tails the log on queue ${input.taskQueue}`);
  while (!workflowInfo().continueAsNewSuggested) {
    if ((await tail(input)) === 'gone') return;
  }
  await continueAsNew<typeof consumer>(input);
}
