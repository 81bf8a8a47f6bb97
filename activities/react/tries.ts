import { ApplicationFailure } from '@temporalio/common';
import { BehindCode } from '../../contracts/upcast';
import { NoAnswer, type AnyReaction } from '../../model/reaction';
import { errorText } from '../error-text';

/** What an activity knows of itself. */
export interface Try {
  /** As Temporal counts: also what was no try. */
  readonly attempt: number;
  readonly signal: AbortSignal;
  /** Its worker stops, and does not wait for it any longer. */
  readonly stopping: () => boolean;
}

const UNAVAILABLE_MS_FIRST = 500;
const UNAVAILABLE_MS_MAX = 30_000;
const GIVE_BACK_MS = 500;

/**
 * Only the project's own code uses up tries. What fails around it (PostgreSQL is away, Temporal, the worker that has the code)
 * is tried again without bound, at most 30 s apart, and told to Temporal, where a person sees it.
 */
export async function withoutBound<T>({ attempt }: Pick<Try, 'attempt'>, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof ApplicationFailure ? error : unavailable(error, attempt);
  }
}

export interface TriedBy {
  readonly reaction: AnyReaction;
  /** 1, 2, 3 … of those that count. */
  readonly nth: number;
  readonly current: Try;
  /** Of a failure that was not the project's. */
  readonly giveBack: () => Promise<void>;
  /** Kept with the failure: what the workflow must know of it. */
  readonly details: readonly number[];
}

/** One try. What it throws, as Temporal takes it: when to try again, or that no try helps or is left. */
export async function asTry<T>(by: TriedBy, work: () => Promise<T>): Promise<T> {
  const { reaction, nth, current, giveBack } = by;
  try {
    return await work();
  } catch (error) {
    // What is tried once was begun, whoever is to blame that it did not end.
    const isOurs = reaction.idempotency !== 'at-most-once' && (isOfMachinery(error) || current.stopping());
    if (error instanceof BehindCode || isOurs) {
      await untilGivenBack(giveBack, current.signal);
      throw unavailable(error, current.attempt);
    }
    const { name, afterMs } = (error ?? {}) as { name?: string; afterMs?: number };
    throw ApplicationFailure.create({
      message: errorText(error),
      type: name ?? 'Error',
      details: [...by.details],
      nonRetryable: name === 'GiveUp' || nth >= reaction.retry.attempts,
      nextRetryDelay: name === 'RetryLater' ? Math.max(0, afterMs ?? 0) : waitMs(nth, reaction.retry),
    });
  }
}

/** A handler may have wrapped it. */
function isOfMachinery(error: unknown): boolean {
  if (error instanceof NoAnswer) return true;
  return error instanceof Error && error.cause !== undefined && isOfMachinery(error.cause);
}

// Likely PostgreSQL is what is away. A process that ends before has used up one try, as one that is killed.
async function untilGivenBack(giveBack: () => Promise<void>, signal: AbortSignal): Promise<void> {
  for (;;) {
    const given = await giveBack().then(
      () => true,
      () => false,
    );
    if (given || signal.aborted) return;
    await new Promise((resolve) => setTimeout(resolve, GIVE_BACK_MS));
  }
}

const waitMs = (nth: number, { firstMs, maxMs }: { readonly firstMs: number; readonly maxMs: number }): number =>
  Math.min(maxMs, firstMs * 2 ** (nth - 1));

const unavailable = (error: unknown, attempt: number): ApplicationFailure =>
  ApplicationFailure.create({
    message: errorText(error),
    type: 'Unavailable',
    nextRetryDelay: waitMs(attempt, { firstMs: UNAVAILABLE_MS_FIRST, maxMs: UNAVAILABLE_MS_MAX }),
  });
