import {
  ActivityFailure,
  ApplicationFailure,
  CancellationScope,
  condition,
  continueAsNew,
  defineSignal,
  patched,
  proxyActivities,
  setCurrentDetails,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import { EVENT_SIGNAL, LINE_TURN_MS } from './names';

/** Which event a reaction was started by, and which time it is. No data: that is read where it is used. */
export interface ReactionRef {
  readonly reaction: string;
  readonly entityType: string;
  readonly entityId: string;
  readonly version: number;
  readonly run: number;
}

/** How its tries are spaced; how many there are is counted where they are made. */
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
  /** Of a line that began before lines asked: what it had been told when the run before this one continued as new. */
  readonly waiting?: readonly LineEvent[];
}

/** The events of one entity, as one reaction has them. */
export type LineRef = Omit<ReactionRef, 'version' | 'run'>;

/**
 * `held`: an earlier one of its entity is parked, so this one waits to be started again behind it. `done-unnoted`: the handler
 * ran well, and PostgreSQL was away when that was to be noted.
 */
export type HandlerEnd = 'done' | 'done-unnoted' | 'ended-before' | 'held';

export interface LineEnd {
  /** There may be more; else none is open, or an earlier one is parked. */
  readonly more: boolean;
  readonly unnoted?: ReactionRef;
}

export interface HandlerActivities {
  /** Runs the handler and notes its end. A second run of an ended one does nothing. */
  readonly handle: (ref: ReactionRef) => Promise<HandlerEnd>;
  /** Handles what is open of an entity, in its order, for `LINE_TURN_MS` at most and at least one of them. */
  readonly handleLine: (line: LineRef) => Promise<LineEnd>;
}

export interface EndActivities {
  /** Notes that a reaction has failed for good, and holds its entity back for it. */
  readonly giveUp: (ref: ReactionRef, failure: { readonly error: string; readonly attempts: number }) => Promise<void>;
}

export interface NoteActivities extends EndActivities {
  /** Notes that a reaction has ended well. */
  readonly noteDone: (ref: ReactionRef) => Promise<void>;
  /** The first of an entity's that is open; null when none is, or an earlier one is parked. */
  readonly nextInLine: (line: LineRef) => Promise<ReactionRef | null>;
}

/** A wake-up: what is to be done is asked for. */
export interface LineEvent {
  readonly version: number;
  readonly run: number;
  /** As they are declared now: a line may be older than they are. */
  readonly retry?: RetryInput;
  readonly handlersQueue?: string;
}

export const lineEventSignal = defineSignal<[LineEvent]>(EVENT_SIGNAL);

const { giveUp, noteDone, nextInLine } = proxyActivities<NoteActivities>({
  startToCloseTimeout: '30 seconds',
  retry: { initialInterval: 200, backoffCoefficient: 2, maximumInterval: '10 seconds' },
});

/** One reaction to one event. */
export async function reaction(input: ReactionInput): Promise<HandlerEnd> {
  return handleOrGiveUp(input, input);
}

const LINE_IDLE_MS = 1_000;

// Before, each event was a signal of its own: a run takes 10,000.
const LINES_ASK = 'lines-ask';

/**
 * An entity's reactions of one kind, one after the other in its order: one slow entity stalls nobody else. What they are is in
 * `reactions`; a signal only wakes it. Whoever adds one behind one that is open need not: it is found when that has ended.
 */
export async function reactionLine(input: LineInput): Promise<void> {
  const waiting: LineEvent[] = [...(input.waiting ?? [])];
  let woken = true;
  let declared: Pick<LineInput, 'retry' | 'handlersQueue'> = input;
  setHandler(lineEventSignal, (event) => {
    waiting.push(event);
    woken = true;
    declared = { ...declared, ...event };
  });
  for (;;) {
    // Asked each time: a history from before ends as it began, a line from before asks as soon as it is live again.
    if (patched(LINES_ASK)) {
      woken = false;
      const more = await handleLineOrGiveUp(declared, input);
      // A signal may come in the very task that the timer fires in.
      if (!more && !woken && !(await condition(() => woken, LINE_IDLE_MS)) && !woken) return;
      if (workflowInfo().continueAsNewSuggested) {
        const { retry, handlersQueue } = declared;
        await continueAsNew<typeof reactionLine>({ ...lineOf(input), retry, handlersQueue });
      }
      continue;
    }
    const next = waiting.shift();
    if (next) {
      setCurrentDetails(`version ${next.version}`);
      await handleOrGiveUp({ ...input, ...next }, { ...input, ...next });
    } else if (!(await condition(() => waiting.length > 0, LINE_IDLE_MS)) && waiting.length === 0) return;
    if (workflowInfo().continueAsNewSuggested) await continueAsNew<typeof reactionLine>({ ...input, waiting });
  }
}

type Declared = Pick<LineInput, 'retry' | 'handlersQueue'>;

async function handleOrGiveUp(declared: Declared, of: ReactionRef): Promise<HandlerEnd> {
  const ref: ReactionRef = { ...lineOf(of), version: of.version, run: of.run };
  try {
    const end = await handlers(declared).handle(ref);
    if (end !== 'done-unnoted') return end;
    await noteDone(ref);
    return 'done';
  } catch (error) {
    const { message, attempts = declared.retry.attempts } = told(error);
    // Also when somebody cancelled it: the row must not stay open for ever.
    await CancellationScope.nonCancellable(() => giveUp(ref, { error: message, attempts }));
    throw ApplicationFailure.nonRetryable(message, 'ReactionParked');
  }
}

/** True: there may be more. */
async function handleLineOrGiveUp(declared: Declared, of: LineRef): Promise<boolean> {
  const line = lineOf(of);
  try {
    const { more, unnoted } = await handlers(declared, LINE_TURN_MS).handleLine(line);
    if (unnoted) await noteDone(unnoted);
    return more;
  } catch (error) {
    const { message, attempts = declared.retry.attempts, version, run = 0 } = told(error);
    await CancellationScope.nonCancellable(async () => {
      const ref = version === undefined ? await nextInLine(line) : { ...line, version, run };
      if (ref) await giveUp(ref, { error: message, attempts });
    });
    throw ApplicationFailure.nonRetryable(message, 'ReactionParked');
  }
}

/** How often a handler is tried is counted by the activity, which ends its last try for good: Temporal would count outages too. */
const handlers = ({ retry, handlersQueue }: Declared, turnMs = 0): HandlerActivities =>
  proxyActivities<HandlerActivities>({
    taskQueue: handlersQueue,
    startToCloseTimeout: retry.timeoutMs + turnMs,
    heartbeatTimeout: '10 seconds',
    retry: { initialInterval: retry.firstMs, backoffCoefficient: 2, maximumInterval: retry.maxMs },
  });

interface Told {
  readonly message: string;
  /** What the activity kept with its failure: which try it was, and of what. */
  readonly attempts?: number;
  readonly version?: number;
  readonly run?: number;
}

function told(error: unknown): Told {
  const cause = error instanceof ActivityFailure ? error.cause : error;
  const message = cause instanceof Error ? cause.message : String(cause);
  const [attempts, version, run] = cause instanceof ApplicationFailure ? ((cause.details ?? []) as number[]) : [];
  return {
    message,
    ...(attempts === undefined ? {} : { attempts }),
    ...(version === undefined ? {} : { version }),
    ...(run === undefined ? {} : { run }),
  };
}

const lineOf = ({ reaction: name, entityType, entityId }: LineRef): LineRef => ({
  reaction: name,
  entityType,
  entityId,
});
