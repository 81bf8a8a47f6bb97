import {
  ActivityFailure,
  ApplicationFailure,
  CancellationScope,
  condition,
  continueAsNew,
  defineSignal,
  proxyActivities,
  setCurrentDetails,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import { EVENT_SIGNAL } from './names';

/** Which event a reaction was started by, and which time it is. No data: that is read where it is used. */
export interface ReactionRef {
  readonly reaction: string;
  readonly entityType: string;
  readonly entityId: string;
  readonly version: number;
  readonly run: number;
}

export interface RetryInput {
  readonly attempts: number;
  readonly firstMs: number;
  readonly maxMs: number;
  readonly timeoutMs: number;
}

export interface ReactionInput extends ReactionRef {
  readonly retry: RetryInput;
  /** Where its handler runs. */
  readonly handlersQueue: string;
}

export interface LineInput extends Omit<ReactionInput, 'version' | 'run'> {
  /** What waited when the run before this one continued as new. */
  readonly waiting?: readonly LineEvent[];
}

/** `held`: an earlier one of its entity is parked, so this one waits to be started again behind it. */
export type HandlerEnd = 'done' | 'ended-before' | 'held';

export interface HandlerActivities {
  /** Runs the handler and notes its end. A second run of an ended one does nothing. */
  readonly handle: (ref: ReactionRef) => Promise<HandlerEnd>;
}

export interface EndActivities {
  /** Notes that a reaction has failed for good, and holds its entity back for it. */
  readonly giveUp: (ref: ReactionRef, failure: { readonly error: string; readonly attempts: number }) => Promise<void>;
}

export interface LineEvent {
  readonly version: number;
  readonly run: number;
  /** As they are declared now: a line may be older than they are. */
  readonly retry?: RetryInput;
  readonly handlersQueue?: string;
}

export const lineEventSignal = defineSignal<[LineEvent]>(EVENT_SIGNAL);

const { giveUp } = proxyActivities<EndActivities>({
  startToCloseTimeout: '30 seconds',
  retry: { initialInterval: 200, backoffCoefficient: 2, maximumInterval: '10 seconds' },
});

/** One reaction to one event. */
export async function reaction(input: ReactionInput): Promise<HandlerEnd> {
  return handleOrGiveUp(input, input);
}

const LINE_IDLE_MS = 1_000;

/** An entity's reactions of one kind, one after the other in its order: one slow entity stalls nobody else. */
export async function reactionLine(input: LineInput): Promise<void> {
  const waiting: LineEvent[] = [...(input.waiting ?? [])];
  setHandler(lineEventSignal, (event) => void waiting.push(event));
  for (;;) {
    // Signals of one entity come in its order; a repeat finds its row ended.
    const next = waiting.shift();
    if (next) {
      setCurrentDetails(`version ${next.version}`);
      await handleOrGiveUp({ ...input, ...next }, { ...input, ...next });
      // A signal may come in the very task that the timer fires in.
    } else if (!(await condition(() => waiting.length > 0, LINE_IDLE_MS)) && waiting.length === 0) return;
    if (workflowInfo().continueAsNewSuggested) await continueAsNew<typeof reactionLine>({ ...input, waiting });
  }
}

async function handleOrGiveUp(
  { retry, handlersQueue }: Pick<LineInput, 'retry' | 'handlersQueue'>,
  of: ReactionRef,
): Promise<HandlerEnd> {
  const { reaction: name, entityType, entityId, version, run } = of;
  const ref: ReactionRef = { reaction: name, entityType, entityId, version, run };
  const { handle } = proxyActivities<HandlerActivities>({
    taskQueue: handlersQueue,
    startToCloseTimeout: retry.timeoutMs,
    heartbeatTimeout: '10 seconds',
    retry: {
      initialInterval: retry.firstMs,
      backoffCoefficient: 2,
      maximumInterval: retry.maxMs,
      maximumAttempts: retry.attempts,
    },
  });
  try {
    return await handle(ref);
  } catch (error) {
    const cause = error instanceof ActivityFailure ? error.cause : error;
    const message = cause instanceof Error ? cause.message : String(cause);
    // A failure that ended it early says at which try; else all of them were used.
    const [attempt] = cause instanceof ApplicationFailure ? ((cause.details ?? []) as number[]) : [];
    // Also when somebody cancelled it: the row must not stay open for ever.
    await CancellationScope.nonCancellable(() => giveUp(ref, { error: message, attempts: attempt ?? retry.attempts }));
    throw ApplicationFailure.nonRetryable(message, 'ReactionParked');
  }
}
