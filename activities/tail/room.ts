import type { LogConsumer, Room } from '../tail';
import type { Position } from './checkpoints';
import type { Turn } from './chunk';
import { pause } from '../pause';

export const roomOf = (consumer: LogConsumer): Room | undefined => ('actOn' in consumer ? consumer.room : undefined);

/** Those that may be read now: not one whose next event waits for room. */
export async function notStanding<At extends Position>(
  consumer: LogConsumer,
  positions: readonly At[],
): Promise<readonly At[]> {
  const room = roomOf(consumer);
  if (!room || room.standing.size === 0 || (await room.look())) return positions;
  return positions.filter(({ partition }) => !room.standing.has(partition));
}

/** Waits until there is room for what stands. */
export async function untilRoom({ consumer, signal, heartbeat }: Turn): Promise<void> {
  const room = roomOf(consumer);
  while (room && !signal.aborted && !(await room.look())) {
    heartbeat({ waitsForRoom: true });
    await pause(room.pollMs(), signal);
  }
}
