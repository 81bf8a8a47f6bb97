import { withTransaction } from '../../db/pool';
import { asPoison, park } from '../park';
import { advance, lockPositions, stopWhenFull } from './checkpoints';
import type { Turn } from './chunk';
import { beginTry, endDoubt, rangesOfDoubt, type Doubt } from './doubt';
import { applyOrPark } from './patience';
import { readAfter } from './read-log';
import { roomOf, untilRoom } from './room';

// A process that ended this often while it applied one event alone ended because of it.
const TRIES_MAX = 2;

// So many events of a partition go alone, about 4 ms each; behind them groups of as many. A process that dies in a group
// leaves it to the next owner, which finds it first and takes it apart: a killer costs at most four deaths, wherever it is.
const ALONE_EVENTS = 64;

/**
 * After an owner whose process died: what it had begun, slowly. Each event's try is counted before it begins; one that was
 * begun twice and never ended (it exhausts the memory, it loops, it exits) is parked unseen. The doubt lasts until a
 * partition's last such event is applied, so that a death on the way there finds it again.
 */
export async function applyWithCare(turn: Turn, doubtful: readonly number[], chunkEvents: number): Promise<void> {
  if (doubtful.length === 0) return;
  let left = await rangesOfDoubt(turn.db, turn.consumer, doubtful, chunkEvents);
  while (left.length > 0) {
    left = await applyEach(turn, left);
    if (left.length > 0) await untilRoom(turn);
    if (turn.signal.aborted) return;
  }
}

/**
 * Answers those that stand for want of room. All are tried before any is waited for: what the dead owner let in, and did not
 * live to start, takes up the room until it is started.
 */
async function applyEach(turn: Turn, doubts: readonly Doubt[]): Promise<readonly Doubt[]> {
  const standing: Doubt[] = [];
  for (const { partition, before } of doubts) {
    const doubt = { partition, before: Math.min(before, turn.before?.get(partition) ?? before) };
    const end = await applyDoubtful({ ...turn, inDoubt: true }, doubt);
    if (turn.signal.aborted) return [];
    if (end === 'stands') standing.push(doubt);
    else await endDoubt(turn.db, turn.consumer, turn.epoch, partition);
  }
  return standing;
}

async function applyDoubtful(turn: Turn, doubt: Doubt): Promise<'over' | 'stands'> {
  for (let nth = 0; !turn.signal.aborted; nth++) {
    turn.heartbeat({ doubtful: doubt.partition });
    const alone = nth < ALONE_EVENTS;
    const tries = await beginTry(turn.db, turn.consumer, { ...doubt, epoch: turn.epoch }, alone);
    if (tries === null) return 'over';
    if (tries > TRIES_MAX) await parkNext(turn, doubt.partition, tries - 1);
    else await applyOrPark(turn, [doubt.partition], alone ? 1 : ALONE_EVENTS);
    // It was lived through, which ends the count of its tries.
    if (roomOf(turn.consumer)?.standing.has(doubt.partition)) return 'stands';
  }
  return 'over';
}

async function parkNext(turn: Turn, partition: number, tries: number): Promise<void> {
  const { db, consumer, epoch, parkedMax } = turn;
  await withTransaction(db, async (tx) => {
    const positions = await lockPositions(tx, consumer, epoch, [partition]);
    const { all, due } = await readAfter(tx, consumer, positions, 1);
    const [event] = due;
    if (event) {
      const error = new Error(`the process ended ${tries} times while it applied ${event.type}: crash poison`);
      await park(tx, asPoison(consumer, event, error, tries));
    }
    await advance(tx, turn, { positions, events: all, still: [] });
    if (event) await stopWhenFull(tx, consumer, parkedMax);
  });
}
