import type { CommandMessage, Outcome } from '../../contracts/message';

/** What came in one send and waits to be committed. */
export interface Waiting {
  readonly commands: readonly CommandMessage[];
  /** Absent for a post: nobody waits for its outcome. */
  readonly answer?: (outcomes: readonly Outcome[]) => void;
}

const BATCH_COMMANDS_MAX = 256;

/** Takes whole sends, oldest first, for one commit. */
export function takeBatch(waiting: Waiting[]): Waiting[] {
  let commands = 0;
  let sends = 0;
  while (sends < waiting.length && (sends === 0 || commands < BATCH_COMMANDS_MAX)) {
    commands += waiting[sends]?.commands.length ?? 0;
    sends += 1;
  }
  return waiting.splice(0, sends);
}

export const postedOf = (waiting: readonly Waiting[]): readonly CommandMessage[] =>
  waiting.flatMap(({ commands, answer }) => (answer ? [] : commands));

// Temporal refuses an input over 2 MiB; a character is at most three bytes.
const CARRIED_CHARACTERS_MAX = 600_000;

// Temporal refuses the task that leaves when a signal arrived during it, and the worker then replays the run: seconds in
// which more arrive. So many at once mean that this is such a second try, which a steady stream of posts would refuse again.
const CARRIED_COMMANDS_MAX = 16;

/** Whether the next run may be given these; else they are committed by this one. */
export const isCarried = (posted: readonly CommandMessage[]): boolean =>
  posted.length <= CARRIED_COMMANDS_MAX && JSON.stringify(posted).length <= CARRIED_CHARACTERS_MAX;
