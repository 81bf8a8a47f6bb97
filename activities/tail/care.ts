import { withTransaction } from '../../db/pool';
import { asPoison, park } from '../park';
import { advance, lockPositions, stopWhenFull } from './checkpoints';
import type { Turn } from './chunk';
import { beginTry, endDoubt, rangesOfDoubt, type Doubt } from './doubt';
import { applyOrPark } from './patience';
import { readAfter } from './read-log';
import { untilRoom } from './room';

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
  for (const { partition, before } of await rangesOfDoubt(turn.db, turn.consumer, doubtful, chunkEvents)) {
    const doubt = { partition, before: Math.min(before, turn.before?.get(partition) ?? before) };
    await applyDoubtful({ ...turn, inDoubt: true }, doubt);
    if (turn.signal.aborted) return;
    await endDoubt(turn.db, turn.consumer, turn.epoch, doubt.partition);
  }
}

async function applyDoubtful(turn: Turn, doubt: Doubt): Promise<void> {
  for (let nth = 0; !turn.signal.aborted; nth++) {
    turn.heartbeat({ doubtful: doubt.partition });
    await untilRoom(turn);
    const alone = nth < ALONE_EVENTS;
    const tries = await beginTry(turn.db, turn.consumer, { ...doubt, epoch: turn.epoch }, alone);
    if (tries === null) return;
    if (tries > TRIES_MAX) await parkNext(turn, doubt.partition, tries - 1);
    else await applyOrPark(turn, [doubt.partition], alone ? 1 : ALONE_EVENTS);
  }
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
