import {
  ActivityFailure,
  allHandlersFinished,
  ApplicationFailure,
  CancellationScope,
  condition,
  ContinueAsNew,
  continueAsNew,
  defineQuery,
  defineUpdate,
  isCancellation,
  proxyActivities,
  setCurrentDetails,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import type { BackfillRun, BackfillWish } from '../db/backfills';

/** What is to be brought in, and how. */
export interface BackfillInput {
  /** A UUID: the run's name in the database. */
  readonly run: string;
  readonly name: string;
  /** On the worker's machine; null for a query. */
  readonly file: string | null;
  readonly dryRun: boolean;
  readonly publish: boolean;
  /** Commands a second at most; null: as many as go. */
  readonly rate: number | null;
  readonly rejectsFile: string | null;
}

export type BringEnd = 'done' | 'turn-over' | 'pause' | 'cancel';

export interface Brought {
  readonly end: BringEnd;
  readonly progress: BackfillRun;
  /** What there is to say about how it ended. */
  readonly note: string | null;
}

export interface BackfillActivities {
  /** Checks everything that can be, and makes the run's row. A second run, also of a workflow continued as new, finds it. */
  readonly openRun: (input: BackfillInput) => Promise<BackfillRun>;
  /** Brings rows in for a turn. A second run goes on where the first one was; the first, if it lives, is fenced. */
  readonly bring: (input: { readonly run: string }) => Promise<Brought>;
  readonly steer: (input: { readonly run: string } & BackfillWish) => Promise<BackfillRun | null>;
  /** Writes the rejects file and ends the run. A second run writes the same. */
  readonly closeRun: (input: RunEnd) => Promise<BackfillRun | null>;
}

export interface RunEnd {
  readonly run: string;
  readonly status: 'done' | 'cancelled' | 'failed';
  readonly error: string | null;
}

export const backfillStatusQuery = defineQuery<BackfillRun | null>('status');
export const pauseBackfillUpdate = defineUpdate<BackfillRun | null>('pause');
export const resumeBackfillUpdate = defineUpdate<BackfillRun | null>('resume');
export const cancelBackfillUpdate = defineUpdate<BackfillRun | null>('cancel');
/** Commands a second; null: as many as go. */
export const throttleBackfillUpdate = defineUpdate<BackfillRun | null, [number | null]>('throttle');

const RETRY = { initialInterval: 200, backoffCoefficient: 2, maximumInterval: '10 seconds' } as const;
const { openRun, steer, closeRun } = proxyActivities<BackfillActivities>({
  startToCloseTimeout: '5 minutes',
  retry: RETRY,
});
const { bring } = proxyActivities<BackfillActivities>({
  startToCloseTimeout: '7 days', // a dry run is one turn
  heartbeatTimeout: '10 seconds',
  retry: RETRY,
});

/** Brings a file or a query into the log, turn by turn; how far it is lies in the database, and survives this workflow. */
export async function backfill(input: BackfillInput): Promise<BackfillRun | null> {
  const { run, dryRun } = input;
  let progress: BackfillRun | null = null;
  let wakes = 0;
  const tell = (told: BackfillRun | null) => {
    progress = told ?? progress;
    setCurrentDetails(progress ? describe(progress) : `waits for a worker on queue ${workflowInfo().taskQueue}`);
  };
  const ask = async (wish: BackfillWish) => {
    await condition(() => progress !== null); // before that there is no row to write it to
    tell(await steer({ run, ...wish }));
    wakes += 1;
    return progress;
  };
  setHandler(backfillStatusQuery, () => progress);
  setHandler(pauseBackfillUpdate, () => ask({ wanted: 'pause' }), { validator: () => refuseInRehearsal(dryRun) });
  setHandler(resumeBackfillUpdate, () => ask({ wanted: 'run' }));
  setHandler(cancelBackfillUpdate, () => ask({ wanted: 'cancel' }));
  setHandler(throttleBackfillUpdate, (rate) => ask({ rate }), { validator: checkRate });

  try {
    tell(null);
    tell(await openRun(input));
    for (;;) {
      const wakesBefore = wakes;
      const { end, progress: now, note } = await bring({ run });
      tell(now);
      if (end === 'done') return await endAs({ run, status: 'done', error: note });
      if (end === 'cancel') return await endAs({ run, status: 'cancelled', error: null });
      // A wish that came while it was being brought has been written by now, and is looked at in the next turn.
      if (end === 'pause') await condition(() => wakes > wakesBefore);
      if (workflowInfo().continueAsNewSuggested && (await condition(allHandlersFinished, '10 seconds'))) {
        await continueAsNew<typeof backfill>(input);
      }
    }
  } catch (error) {
    if (error instanceof ContinueAsNew) throw error;
    const status = isCancellation(error) ? 'cancelled' : 'failed';
    await CancellationScope.nonCancellable(() => endAs({ run, status, error: reasonOf(error) }));
    throw error;
  }

  async function endAs(end: RunEnd): Promise<BackfillRun | null> {
    tell(await closeRun(end));
    await condition(allHandlersFinished);
    return progress;
  }
}

function refuseInRehearsal(dryRun: boolean): void {
  if (dryRun) throw ApplicationFailure.nonRetryable('a dry run is not paused: cancel it', 'not_for_dry_run');
}

function checkRate(rate: number | null): void {
  if (rate !== null && !(Number.isSafeInteger(rate) && rate > 0 && rate <= RATE_MAX)) {
    throw ApplicationFailure.nonRetryable(`a rate is a whole number from 1 to ${RATE_MAX}`, 'usage');
  }
}

export const RATE_MAX = 1_000_000;

/** The first line of what went wrong, whatever it is wrapped in. */
function reasonOf(error: unknown): string {
  const cause = error instanceof ActivityFailure ? error.cause : error;
  return (cause instanceof Error ? cause.message : String(cause)).split('\n')[0] ?? '';
}

/** For Temporal's UI. */
function describe(run: BackfillRun): string {
  const { rows_read, done, total, accepted, repeated, rejected, rate, wanted, status, dry_run } = run;
  const part = total ? `${Math.floor((100 * done) / total)} %, ` : '';
  const kind = dry_run ? 'dry run, ' : '';
  const state = status === 'running' && wanted === 'pause' ? 'paused' : status;
  const limit = rate === null ? 'no limit' : `at most ${rate} commands/s`;
  return `${state}: ${kind}${part}${rows_read} rows read, ${accepted} accepted, ${repeated} there before, ${rejected} rejected, ${limit}`;
}
