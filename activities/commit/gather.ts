import type { CommandMessage, CommitAnswer } from '../../contracts/message';
import { isLockTimeout, kindOf } from '../../db/errors';
import type { Commit } from '../commit';

export interface GatherPorts {
  /** Commits what waits, together. Gives up on a lock soon: somebody's long transaction must not hold up everybody. */
  readonly together: Commit;
  /** Commits with all patience for a lock, on connections of its own. */
  readonly patiently: Commit;
  /** The partition whose head a command's events would raise. */
  readonly partitionOf: (message: CommandMessage) => number;
  /** Transactions under way at once; what arrives meanwhile waits and forms the next batch. */
  readonly transactionsMax: number;
  readonly commandsMax: number;
  /** Of their JSON, in characters. One call may have more, and then goes alone. */
  readonly charactersMax: number;
}

interface Call {
  readonly batch: readonly CommandMessage[];
  readonly partition: number;
  readonly characters: number;
  readonly resolve: (answer: CommitAnswer) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * One commit for the calls of many workflows that wait at the same time: group commit, as a database does for its log.
 * A lone call goes through at once. What fails together is done again apart, so one workflow's trouble is not another's.
 */
export function gather(ports: GatherPorts): Commit {
  const { together, patiently, partitionOf, transactionsMax } = ports;
  const waiting: Call[] = [];
  // Of each partition that somebody holds: what waits behind the one call, on one connection, that waits for the lock.
  const held = new Map<number, Call[]>();
  let underWay = 0;

  return (batch) =>
    new Promise((resolve, reject) => {
      const [first] = batch;
      if (!first) return resolve({ outcomes: [], settled: [] });
      const call = { batch, partition: partitionOf(first), characters: charactersOf(batch), resolve, reject };
      const queue = held.get(call.partition);
      if (queue) return void queue.push(call);
      waiting.push(call);
      startNext();
    });

  function startNext(): void {
    while (underWay < transactionsMax && waiting.length > 0) {
      underWay += 1;
      void commitShared(takeUpTo(waiting, ports)).finally(() => {
        underWay -= 1;
        startNext();
      });
    }
  }

  async function commitShared(calls: readonly Call[]): Promise<void> {
    try {
      await commitCalls(together, calls);
    } catch (error) {
      if (isLockTimeout(error)) for (const call of calls) waitForLock(call);
      else await apart(calls, error);
    }
  }

  function waitForLock(call: Call): void {
    const queue = held.get(call.partition);
    if (queue) return void queue.push(call);
    const calls = [call];
    held.set(call.partition, calls);
    setImmediate(() => void drain(call.partition, calls));
  }

  /** One transaction at a time for a held partition: a hundred orders that wait for it are one connection. */
  async function drain(partition: number, queue: Call[]): Promise<void> {
    while (queue.length > 0) {
      const calls = takeUpTo(queue, ports);
      await commitCalls(patiently, calls).catch((error: unknown) => apart(calls, error));
    }
    held.delete(partition);
  }

  /** What ails one call is not the others'; only when the database is away, or a lock is not had, all of them are told. */
  async function apart(calls: readonly Call[], error: unknown): Promise<void> {
    if (calls.length === 1 || kindOf(error) === 'passing') {
      for (const call of calls) call.reject(error);
      return;
    }
    await Promise.all(calls.map((call) => patiently(call.batch).then(call.resolve, call.reject)));
  }
}

function takeUpTo(queue: Call[], { commandsMax, charactersMax }: GatherPorts): Call[] {
  let commands = 0;
  let characters = 0;
  let calls = 0;
  for (const call of queue) {
    commands += call.batch.length;
    characters += call.characters;
    if (calls > 0 && (commands > commandsMax || characters > charactersMax)) break;
    calls += 1;
  }
  return queue.splice(0, calls);
}

const charactersOf = (batch: readonly CommandMessage[]): number => JSON.stringify(batch).length;

/** Commits what several calls ask in one transaction, and gives each its part of the answer. */
async function commitCalls(commit: Commit, calls: readonly Call[]): Promise<void> {
  const { outcomes, settled } = await commit(calls.flatMap((call) => call.batch));
  let from = 0;
  for (const { batch, resolve } of calls) {
    const to = from + batch.length;
    resolve({ outcomes: outcomes.slice(from, to), settled: settled.slice(from, to) });
    from = to;
  }
}
