import type { CommandMessage, Outcome } from '../../contracts/message';

/** What came in one send and waits to be committed. */
export interface Waiting {
  readonly commands: readonly CommandMessage[];
  /** Absent for a post: nobody waits for its outcome. */
  readonly answer?: (outcomes: readonly Outcome[]) => void;
}

const BATCH_COMMANDS_MAX = 256;

// One command may have 1.5 MB, and Temporal takes no payload over 2 MiB.
const BATCH_CHARACTERS_MAX = 1_500_000;

/** Takes whole sends, oldest first, for one commit. `isBounded` is asked only where a batch would be too large. */
export function takeBatch(waiting: Waiting[], isBounded: () => boolean): Waiting[] {
  if (waiting.length <= 1) return waiting.splice(0);
  let commands = 0;
  let characters = 0;
  let sends = 0;
  for (const send of waiting) {
    characters += charactersOf(send.commands);
    if (sends > 0 && characters > BATCH_CHARACTERS_MAX && isBounded()) break;
    commands += send.commands.length;
    sends += 1;
    if (commands >= BATCH_COMMANDS_MAX) break;
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
  posted.length <= CARRIED_COMMANDS_MAX && charactersOf(posted) <= CARRIED_CHARACTERS_MAX;

const charactersOf = (commands: readonly CommandMessage[]): number => JSON.stringify(commands).length;
