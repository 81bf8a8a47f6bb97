import { withTransaction } from '../../db/pool';
import { asPoison, park } from '../park';
import { advance, beginTry, lockPositions } from './checkpoints';
import { applyChunk, isPoison, type Turn } from './chunk';
import { readAfter } from './read-log';

// A process that ended this often while it applied one event alone ended because of it.
const TRIES_MAX = 2;

/**
 * After an owner whose process died: the next event of each partition by itself, each try counted before it begins.
 * One that was begun twice and never ended (it exhausts the memory, it loops, it exits) is parked unseen.
 */
export async function applyWithCare(turn: Turn, doubtful: readonly number[]): Promise<void> {
  for (const partition of doubtful) {
    const tries = await beginTry(turn.db, turn.consumer, partition);
    if (tries > TRIES_MAX) await parkNext(turn, partition, tries - 1);
    else {
      // A failure it lives to see is the ordinary way's to handle.
      await applyChunk(turn, [partition], 1).catch((error: unknown) => {
        if (!isPoison(error)) throw error;
      });
    }
  }
}

async function parkNext(turn: Turn, partition: number, tries: number): Promise<void> {
  const { db, consumer, epoch } = turn;
  await withTransaction(db, async (tx) => {
    const positions = await lockPositions(tx, consumer, epoch, [partition]);
    const { all, due } = await readAfter(tx, consumer, positions, 1);
    const [event] = due;
    if (event) {
      const error = new Error(`the process ended ${tries} times while it applied ${event.type}: crash poison`);
      await park(tx, asPoison(consumer, event, error, tries));
    }
    await advance(tx, consumer, positions, all, []);
  });
}
