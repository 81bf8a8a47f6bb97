import type { Pool } from 'pg';
import type { CommandMessage, CommitAnswer, Outcome } from '../contracts/message';
import { kindOf } from '../db/errors';
import type { Model } from '../model/model';
import { decideBatch, decideDataRefused, LIVE, type Decided } from './commit/decide';
import { entityKey, type Known, type KnownEntity } from './commit/known';
import { load } from './commit/load';
import { StateCache } from './commit/state-cache';
import { write, type BackfillPart, type Written } from './commit/write';

export interface CommitPorts {
  /** A pool logged in as `reprise_commit`. */
  readonly db: Pool;
  readonly model: Model;
  /** Of the database, fixed when it was created. */
  readonly partitions: number;
  /** Tells consumers, after the commit, that entities of these types have news. Never throws, never waits. */
  readonly wake: (entityTypes: readonly string[]) => void;
  /** How long to wait for a lock (SQLSTATE 55P03 after it). Default: as long as the login may. */
  readonly lockMsMax?: number;
  readonly watch?: CommitWatch | undefined;
  /** What it commits was not said now and here, but is history from elsewhere. */
  readonly backfill?: BackfillIntake;
}

export interface BackfillIntake {
  readonly published: boolean;
  /** Stored in the same transaction as a batch, which is of one partition: of its messages and their answers. */
  readonly partOf: (batch: readonly CommandMessage[], outcomes: readonly Outcome[]) => BackfillPart;
}

/** Told what the commit does, for figures: called once per batch, not per event. Never throws, never waits. */
export interface CommitWatch {
  /** A batch is answered: decided, and committed unless nothing of it was new. */
  readonly onAnswered: (
    outcomes: readonly Outcome[],
    done: { readonly committed: boolean; readonly ms: number },
  ) => void;
  /** What it was decided on had moved meanwhile: it is loaded and decided again. */
  readonly onMoved: () => void;
}

export type Commit = (batch: readonly CommandMessage[]) => Promise<CommitAnswer>;

// A lost race is decided again at once. Five in a row on one entity means another writer that does not go through
// its workflow; the activity's own retry, with backoff, takes over.
const ATTEMPTS_MAX = 5;

/** Every attempt met a version that had moved meanwhile. Passing: worth a retry. */
export class Contended extends Error {
  override readonly name = 'Contended';
}

/**
 * The only writer of truth: state, events and outbox move together or not at all.
 * A second run of a batch answers from `commands`. A command that fails, or whose data PostgreSQL refuses, fails alone.
 */
export function makeCommit({ db, model, partitions, wake, lockMsMax, watch, backfill }: CommitPorts): Commit {
  const cache = new StateCache();
  const intake = backfill ? ({ origin: 'backfill', published: backfill.published } as const) : LIVE;

  return commit;

  async function commit(batch: readonly CommandMessage[]): Promise<CommitAnswer> {
    try {
      return await commitTogether(batch, (known) => decideBatch(model, known, batch, intake));
    } catch (error) {
      const [first, ...others] = batch;
      // No workflow serializes a backfill with live commands on its entities: a smaller batch moves less often.
      if (backfill && error instanceof Contended && others.length > 0) return commitHalves(batch);
      if (kindOf(error) !== 'data') throw error;
      if (!first || others.length > 0) return commitHalves(batch);
      return commitTogether(batch, (known) => decideDataRefused(model, known, first, intake));
    }
  }

  async function commitTogether(
    batch: readonly CommandMessage[],
    decide: (known: Known) => Decided,
  ): Promise<CommitAnswer> {
    const startedAt = performance.now();
    for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
      const known = fromCache(batch, attempt) ?? (await load(db, model, batch)); // one round trip
      const decided = decide(known); // pure
      const written = await writeUnlessMoved(batch, decided); // one transaction
      if (written) {
        const committed = decided.commands.length > 0;
        watch?.onAnswered(decided.outcomes, { committed, ms: performance.now() - startedAt });
        return answer(batch, decided, written);
      }
      watch?.onMoved();
    }
    throw new Contended(`${batch.length} commands met a moved version ${ATTEMPTS_MAX} times`);
  }

  /** All or nothing, on the first attempt only: a repeat or a moved version is found by the commit, and then loaded. */
  function fromCache(batch: readonly CommandMessage[], attempt: number): Known | undefined {
    if (attempt > 1) return undefined;
    const entities = new Map<string, KnownEntity>();
    for (const message of batch) {
      const cached = message.expectedVersion === undefined ? cache.get(entityKey(message)) : undefined;
      if (!cached) return undefined;
      entities.set(entityKey(message), cached);
    }
    return { entities, commands: new Map() };
  }

  async function writeUnlessMoved(batch: readonly CommandMessage[], decided: Decided): Promise<Written | null> {
    if (decided.commands.length === 0 && !backfill) return { offsetOf: () => null };
    // Whatever becomes of the write, what the cache had is no longer sure; `answer` puts back what was committed.
    for (const entity of decided.entities) cache.forget(entityKey(entity));
    try {
      const beside = backfill?.partOf(batch, decided.outcomes) ?? null;
      return await write(db, { model, partitions, lockMsMax, intake }, decided, beside);
    } catch (error) {
      if (kindOf(error) === 'moved') return null;
      throw error;
    }
  }

  function answer(batch: readonly CommandMessage[], decided: Decided, written: Written): CommitAnswer {
    for (const { entityType, entityId, version, publishedVersion, state, unfoldable } of decided.entities) {
      if (version > 0 && unfoldable === undefined)
        cache.set(entityKey({ entityType, entityId }), { version, publishedVersion, state });
    }
    if (decided.events.length > 0) wake([...new Set(decided.events.map(({ entityType }) => entityType))]);
    const outcomes = decided.outcomes.map((outcome, index) => withOffset(outcome, batch[index], written));
    return { outcomes, settled: decided.settled };
  }

  /** PostgreSQL refused the data of one command among these: halves find it, and its neighbours commit. */
  async function commitHalves(batch: readonly CommandMessage[]): Promise<CommitAnswer> {
    const middle = Math.ceil(batch.length / 2);
    const first = await commit(batch.slice(0, middle));
    const second = await commit(batch.slice(middle));
    return { outcomes: [...first.outcomes, ...second.outcomes], settled: [...first.settled, ...second.settled] };
  }
}

/** An answer made in this batch learns where its last event came to lie; a repeat from `commands` knows already. */
function withOffset(outcome: Outcome, message: CommandMessage | undefined, written: Written): Outcome {
  if (outcome.outcome !== 'accepted' || outcome.firstVersion === null || outcome.offset !== null || !message) {
    return outcome;
  }
  return { ...outcome, offset: written.offsetOf(entityKey(message), outcome.lastVersion) };
}
