import type { CommandMessage, CommitAnswer } from '../../contracts/message';
import { isLockTimeout, kindOf } from '../../db/errors';
import type { Commit } from '../commit';

export interface GatherPorts {
  /** Commits what waits, together. Gives up on a lock soon: somebody's long transaction must not hold up everybody. */
  readonly together: Commit;
  /** Commits the calls of a batch that failed one by one, with all patience. */
  readonly alone: Commit;
  /** Transactions under way at once; what arrives meanwhile waits and forms the next batch. */
  readonly transactionsMax: number;
  readonly commandsMax: number;
}

interface Waiting {
  readonly batch: readonly CommandMessage[];
  readonly resolve: (answer: CommitAnswer) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * One commit for the calls of many workflows that wait at the same time: group commit, as a database does for its log.
 * A lone call goes through at once. What fails together is done again alone, so one workflow's trouble is not another's.
 */
export function gather({ together, alone, transactionsMax, commandsMax }: GatherPorts): Commit {
  const waiting: Waiting[] = [];
  let underWay = 0;

  return (batch) =>
    new Promise((resolve, reject) => {
      waiting.push({ batch, resolve, reject });
      startNext();
    });

  function startNext(): void {
    while (underWay < transactionsMax && waiting.length > 0) {
      underWay += 1;
      void commitTogether(takeUpTo(commandsMax)).finally(() => {
        underWay -= 1;
        startNext();
      });
    }
  }

  function takeUpTo(max: number): Waiting[] {
    let commands = waiting[0]?.batch.length ?? 0;
    let calls = 1;
    while (calls < waiting.length && commands + (waiting[calls]?.batch.length ?? 0) <= max) {
      commands += waiting[calls]?.batch.length ?? 0;
      calls += 1;
    }
    return waiting.splice(0, calls);
  }

  async function commitTogether(calls: readonly Waiting[]): Promise<void> {
    try {
      const { outcomes, settled } = await together(calls.flatMap((call) => call.batch));
      let from = 0;
      for (const { batch, resolve } of calls) {
        const to = from + batch.length;
        resolve({ outcomes: outcomes.slice(from, to), settled: settled.slice(from, to) });
        from = to;
      }
    } catch (error) {
      // What ails one call is not the others'; only when the database is away are all of them told at once.
      const shared = !isLockTimeout(error) && (calls.length === 1 || kindOf(error) === 'passing');
      for (const call of calls) {
        if (shared) call.reject(error);
        else alone(call.batch).then(call.resolve, call.reject);
      }
    }
  }
}
