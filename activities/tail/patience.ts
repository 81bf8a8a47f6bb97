import { pause } from '../pause';
import { applyApart } from './apart';
import { applyChunk, isPoison, type Turn } from './chunk';

// A fold is pure, so a failure seldom passes: 50 and 100 ms, each with as much jitter again, are for what it stands on.
const ATTEMPTS_MAX = 3;
const RETRY_MS = 50;

/** A chunk that fails is tried again with backoff; what fails even then holds back its entity, and only that. */
export async function applyOrPark(turn: Turn, partitions: readonly number[], eventsMax: number): Promise<boolean> {
  for (let attempt = 1; ; attempt++) {
    turn.watch.onTry(attempt > 1);
    try {
      return await applyChunk(turn, partitions, eventsMax);
    } catch (error) {
      if (!isPoison(error)) throw error; // the turn's, and counted there
      turn.watch.onError();
      if (attempt === ATTEMPTS_MAX) return applyApart(turn, { partitions, eventsMax, attempts: attempt });
      await pause(RETRY_MS * 2 ** (attempt - 1) * (1 + Math.random()), turn.signal);
      if (turn.signal.aborted) return true;
    }
  }
}
