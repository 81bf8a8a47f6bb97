import {
  ActivityFailure,
  allHandlersFinished,
  ApplicationFailure,
  condition,
  continueAsNew,
  proxyLocalActivities,
  setCurrentDetails,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import type { CommandMessage, CommitAnswer, Outcome } from '../contracts/message';
import { commitUpdate, postSignal } from './messages';
import { BEHIND_CODE } from './names';

/** All an entity workflow carries: the rest is in the database. */
export interface EntityInput {
  readonly entityType: string;
  readonly entityId: string;
}

export interface EntityActivities {
  commit(batch: readonly CommandMessage[]): Promise<CommitAnswer>;
}

const BATCH_COMMANDS_MAX = 256;

// The wait before leaving. It must be interruptible and must end the workflow task of the commit: a workflow that
// closed in that task had 34-125 of 360 commands run again, one that waited had none.
const LEAVE_WAIT_MS = 1_000;

// A workflow that is never left alone for the length of that wait continues as new all the same.
const INTERRUPTIONS_MAX = 20;

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

interface Waiting {
  readonly commands: readonly CommandMessage[];
  readonly answer: (outcomes: readonly Outcome[]) => void;
}

/** Serializes the commands of one entity: what arrives during a commit forms the next batch. Knows no domain code. */
export async function entity(input: EntityInput): Promise<void> {
  const waiting: Waiting[] = [];
  let settled = false;
  let interruptions = 0;

  setHandler(commitUpdate, (commands) => new Promise((answer) => waiting.push({ commands, answer })), {
    validator: (commands) => {
      if (!areCommands(commands)) throw new Error('an update of an entity carries a list of commands');
    },
  });
  setHandler(postSignal, (commands) => {
    if (areCommands(commands)) waiting.push({ commands, answer: () => undefined });
  });

  for (;;) {
    await condition(() => waiting.length > 0);
    settled = await commitWaiting(waiting);
    while (waiting.length === 0 && mayLeave()) {
      if (workflowInfo().continueAsNewSuggested && interruptions >= INTERRUPTIONS_MAX) return leave();
      const interrupted = await condition(() => waiting.length > 0, LEAVE_WAIT_MS);
      if (!interrupted && allHandlersFinished()) return leave();
      interruptions += 1;
    }
  }

  function mayLeave(): boolean {
    return settled || workflowInfo().continueAsNewSuggested;
  }

  async function leave(): Promise<void> {
    await condition(allHandlersFinished);
    if (!settled) await continueAsNew<typeof entity>(input);
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
  const sends = takeBatch(waiting);
  const answer = await commitOrFailTask(sends.flatMap(({ commands }) => commands));
  let from = 0;
  for (const { commands, answer: reply } of sends) {
    reply(answer.outcomes.slice(from, (from += commands.length)));
  }
  const last = answer.outcomes.at(-1);
  setCurrentDetails(`version ${last?.lastVersion ?? 0}, last answer: ${last?.outcome ?? 'none'}`);
  return answer.settled.at(-1) ?? false;
}

function takeBatch(waiting: Waiting[]): Waiting[] {
  let commands = 0;
  let sends = 0;
  while (sends < waiting.length && (sends === 0 || commands < BATCH_COMMANDS_MAX)) {
    commands += waiting[sends]?.commands.length ?? 0;
    sends += 1;
  }
  return waiting.splice(0, sends);
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
