import type { PoolClient } from 'pg';
import { isLockTrouble } from '../../db/errors';
import { withTransaction } from '../../db/pool';
import { errorText } from '../error-text';
import type { InsideConsumer } from '../tail';
import type { Turn } from '../tail/chunk';
import { pause } from '../pause';
import { catchUp } from './catch-up';
import { lackOf, lockActive, readPlaces, sumOf, type Places } from './places';

// So long the active generation's consumer may be made to wait: for what came while the build caught up, and no more.
const HELD_MS_MAX = 2_000;
const ATTEMPTS_MAX = 8;
const PAUSE_MS = 50;
const PAUSE_MS_MAX = 2_000;

// Caught up, it lacks what came in the meantime. Once that is so few it is applied under lock, in some 50 ms.
const FEW_EVENTS = 2_000;
const PASSES_MAX = 20;

/** The two did not come to stand where they must, within the bounds. */
export class NeverMet extends Error {
  override readonly name = 'NeverMet';
}

/** Not now: unlock, catch up, try again. */
export class NotNow extends Error {}

export interface Hold {
  /** How far the build goes before the lock is taken. */
  readonly target: () => Promise<Places>;
  readonly attempts?: number;
}

/**
 * Runs `work` while the active generation stands still and the build lacks nothing of it. `tx` holds the locks and has
 * written nothing yet; what the build lacks is applied, and committed, by other connections meanwhile. Locks that are not to
 * be had, a build that is too slow and `NotNow` cost another attempt; then it throws `NeverMet`.
 */
export async function whileActiveStands<T>(
  turn: Turn<InsideConsumer>,
  { target, attempts = ATTEMPTS_MAX }: Hold,
  work: (tx: PoolClient, at: Places) => Promise<T>,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    await catchUpNearly(turn, target);
    try {
      return await hold(turn, work);
    } catch (error) {
      if (!(error instanceof NotNow) && !isLockTrouble(error)) throw error;
      if (attempt >= attempts) throw new NeverMet(errorText(error), { cause: error });
    }
    turn.heartbeat({ attempt });
    await pause(Math.min(PAUSE_MS * 2 ** attempt, PAUSE_MS_MAX), turn.signal);
  }
}

/** Unlocked, until so little is lacking that it can be applied under lock. */
async function catchUpNearly(turn: Turn<InsideConsumer>, target: () => Promise<Places>): Promise<void> {
  for (let pass = 1; pass <= PASSES_MAX; pass++) {
    const to = await target();
    const lacking = sumOf(lackOf(await readPlaces(turn.db, turn.consumer), to));
    if (pass > 1 && lacking <= FEW_EVENTS) return;
    await catchUp(turn, to);
  }
}

async function hold<T>(turn: Turn<InsideConsumer>, work: (tx: PoolClient, at: Places) => Promise<T>): Promise<T> {
  return withTransaction(turn.db, async (tx) => {
    const at = await lockActive(tx, turn.consumer.consumer);
    if (!(await catchUp(turn, at, AbortSignal.timeout(HELD_MS_MAX))))
      throw new NotNow(`it lacks more than is applied in ${HELD_MS_MAX} ms`);
    return work(tx, at);
  });
}
