import {
  ActivityFailure,
  allHandlersFinished,
  ApplicationFailure,
  condition,
  continueAsNew,
  patched,
  proxyLocalActivities,
  setCurrentDetails,
  setHandler,
  sleep,
  workflowInfo,
} from '@temporalio/workflow';
import { HandlerUnfinishedPolicy } from '@temporalio/common';
import type { CommandMessage, CommitAnswer } from '../contracts/message';
import { commitUpdate, postSignal } from './messages';
import { BEHIND_CODE } from './names';
import { isCarried, postedOf, takeBatch, type Waiting } from './entity/waiting';

/** All an entity workflow carries: the rest is in the database. */
export interface EntityInput {
  readonly entityType: string;
  readonly entityId: string;
  /** What was posted while the run before this one was leaving. Nobody waits for it, so nobody would send it again. */
  readonly posted?: readonly CommandMessage[];
}

export interface EntityActivities {
  commit(batch: readonly CommandMessage[]): Promise<CommitAnswer>;
}

// The wait before leaving. It must be interruptible and must end the workflow task of the commit: a workflow that
// closed in that task had 34-125 of 360 commands run again, one that waited had none.
const LEAVE_WAIT_MS = 1_000;

// A workflow that is never left alone for the length of that wait continues as new all the same. Where posts stream in
// faster than a task takes, Temporal refuses that, and each try costs a replay: twice as many commits before the next one.
const INTERRUPTIONS_MAX = 20;

// It leaves one task after its last commit: a timer that nothing interrupts ends the commit's task. What arrives meanwhile
// is not committed but carried along (posts) or sent again by its client (updates): the task that leaves holds no commit,
// and may be lost and made again as often as there is something new.
const LEAVE_UNDER_LOAD_MS = 1;
const LEAVES_UNDER_LOAD = 'leaves-under-load';

// Histories from before have larger batches.
const BATCHES_ARE_BOUNDED = 'batches-are-bounded-in-characters';

// A local activity costs no round trip to the server: 16-21 ms for a warm command, 100 ms with a regular one.
// It is run again whenever its workflow task is lost; `commands` makes that harmless.
const { commit } = proxyLocalActivities<EntityActivities>({
  startToCloseTimeout: '30 seconds',
  retry: {
    initialInterval: 50,
    backoffCoefficient: 2,
    maximumInterval: '5 seconds',
    nonRetryableErrorTypes: [BEHIND_CODE],
  },
});

/** Serializes the commands of one entity: what arrives during a commit forms the next batch. Knows no domain code. */
export async function entity(input: EntityInput): Promise<void> {
  const ids: EntityInput = { entityType: input.entityType, entityId: input.entityId };
  const waiting: Waiting[] = input.posted ? [{ commands: input.posted }] : [];
  let settled = false;
  let interruptions = 0;
  let lateCommits = 0;
  let lateCommitsMax = INTERRUPTIONS_MAX;

  setHandler(commitUpdate, (commands) => new Promise((answer) => waiting.push({ commands, answer })), {
    // Those that arrive while it leaves under load; Temporal tells their client, which sends them to the next run.
    unfinishedPolicy: HandlerUnfinishedPolicy.ABANDON,
    validator: (commands) => {
      if (!areCommands(commands)) throw new Error('an update of an entity carries a list of commands');
    },
  });
  setHandler(postSignal, (commands) => {
    if (areCommands(commands)) waiting.push({ commands });
  });

  for (;;) {
    await condition(() => waiting.length > 0);
    settled = await commitWaiting(waiting);
    if (mustLeave()) lateCommits += 1;
    if (lateCommits > lateCommitsMax && patched(LEAVES_UNDER_LOAD)) {
      await sleep(LEAVE_UNDER_LOAD_MS);
      const posted = postedOf(waiting);
      if (isCarried(posted)) return leaveWith(posted);
      lateCommitsMax *= 2;
      lateCommits = 0;
      continue;
    }
    while (waiting.length === 0 && mayLeave()) {
      // As histories from before the patch have it: in the task of the commit.
      if (mustLeave() && interruptions >= INTERRUPTIONS_MAX && !patched(LEAVES_UNDER_LOAD)) return leave();
      const interrupted = await condition(() => waiting.length > 0, LEAVE_WAIT_MS);
      if (!interrupted && allHandlersFinished()) return leave();
      interruptions += 1;
    }
  }

  function mayLeave(): boolean {
    return settled || mustLeave();
  }

  function mustLeave(): boolean {
    return workflowInfo().continueAsNewSuggested;
  }

  async function leave(): Promise<void> {
    await condition(allHandlersFinished);
    if (!settled) await continueAsNew<typeof entity>(ids);
  }

  async function leaveWith(posted: readonly CommandMessage[]): Promise<void> {
    if (posted.length > 0) await continueAsNew<typeof entity>({ ...ids, posted });
    if (!settled) await continueAsNew<typeof entity>(ids);
  }
}

/** What else comes, by hand or from another client, would stop the entity for everybody. */
function areCommands(commands: unknown): commands is readonly CommandMessage[] {
  return (
    Array.isArray(commands) && commands.every((command) => typeof (command as CommandMessage | null)?.name === 'string')
  );
}

/** Answers a batch of what waits; true when the entity is final or has no events, so nothing keeps it open. */
async function commitWaiting(waiting: Waiting[]): Promise<boolean> {
  const sends = takeBatch(waiting, () => patched(BATCHES_ARE_BOUNDED));
  const answer = await commitOrFailTask(sends.flatMap(({ commands }) => commands));
  let from = 0;
  for (const { commands, answer: reply } of sends) {
    reply?.(answer.outcomes.slice(from, from + commands.length));
    from += commands.length;
  }
  const last = answer.outcomes.at(-1);
  setCurrentDetails(`version ${last?.lastVersion ?? 0}, last answer: ${last?.outcome ?? 'none'}`);
  return answer.settled.at(-1) ?? false;
}

/** An event only newer code knows is not poison: the workflow task fails, and is retried until a newer worker takes it. */
async function commitOrFailTask(batch: readonly CommandMessage[]): Promise<CommitAnswer> {
  try {
    return await commit(batch);
  } catch (error) {
    const cause = error instanceof ActivityFailure ? error.cause : error;
    if (cause instanceof ApplicationFailure && cause.type === BEHIND_CODE) throw new Error(cause.message);
    throw error;
  }
}
