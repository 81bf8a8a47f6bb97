import {
  isGrpcServiceError,
  WorkflowExecutionAlreadyStartedError,
  WorkflowFailedError,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
  WorkflowUpdateRPCTimeoutOrCancelledError,
  type Client,
} from '@temporalio/client';
import { REPLAY_QUEUE, REPLAY_WORKFLOW, replayWorkflowId } from '../workflows/names';
import type { Asked, Control, ReplayInput, ReplayState } from '../workflows/replay';

export interface ReplayDoor {
  readonly temporal: Client;
  /** Before every workflow id and task queue. */
  readonly idPrefix: string;
}

export interface StartedReplay {
  readonly projection: string;
  readonly workflowId: string;
  readonly runId: string;
}

/** A projection has one replay at a time. */
export class ReplayRunning extends Error {
  override readonly name = 'ReplayRunning';

  constructor(readonly running: StartedReplay) {
    super(`a replay of '${running.projection}' runs already: ${running.workflowId}, run ${running.runId}`);
  }
}

/** No replay of it is open in Temporal. */
export class NoReplay extends Error {
  override readonly name = 'NoReplay';

  constructor(projection: string, options?: ErrorOptions) {
    super(`no replay of '${projection}' runs`, options);
  }
}

/** What was asked makes no sense where the replay stands; nothing was done. */
export class ReplayRefused extends Error {
  override readonly name = 'ReplayRefused';
}

// A worker that is there answers in milliseconds; one that just came up replays a short history first.
const ANSWER_MS_MAX = 10_000;

/** Nobody answered in time: Temporal, or a worker. What was asked may still be taken when they are there. */
export class ReplaySilent extends Error {
  override readonly name = 'ReplaySilent';

  constructor(projection: string, options?: ErrorOptions) {
    super(`no answer for the replay of '${projection}' within ${ANSWER_MS_MAX / 1_000} s`, options);
  }
}

// DEADLINE_EXCEEDED; FAILED_PRECONDITION: no worker has asked for work lately; UNAVAILABLE.
const SILENT = new Set([4, 9, 14]);

/** Starts it, also while no worker is there to run it. Throws `ReplayRunning` when one is open. */
export async function startReplay({ temporal, idPrefix }: ReplayDoor, input: ReplayInput): Promise<StartedReplay> {
  const { projection } = input;
  const workflowId = idPrefix + replayWorkflowId(projection);
  try {
    const { firstExecutionRunId } = await temporal.workflow.start(REPLAY_WORKFLOW, {
      workflowId,
      taskQueue: idPrefix + REPLAY_QUEUE,
      args: [{ ...input, workflowId }],
      workflowIdConflictPolicy: 'FAIL',
      workflowIdReusePolicy: 'ALLOW_DUPLICATE',
      staticSummary: `builds read.${projection} again`,
    });
    return { projection, workflowId, runId: firstExecutionRunId };
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    const { runId } = await temporal.workflow.getHandle(workflowId).describe();
    throw new ReplayRunning({ projection, workflowId, runId });
  }
}

/** Tells it what to do next; answers when it begins to. Throws `ReplayRefused`, `NoReplay`, `ReplaySilent`. */
export const askReplay = (door: ReplayDoor, projection: string, asked: Asked): Promise<string> =>
  answered(door, projection, () => handleOf(door, projection).executeUpdate<string, [Asked]>('ask', { args: [asked] }));

/** Changes its pace, pauses or cancels it; answers with a line of progress. While Temporal is down, its row does. */
export const controlReplay = (door: ReplayDoor, projection: string, control: Control): Promise<string> =>
  answered(door, projection, () =>
    handleOf(door, projection).executeUpdate<string, [Control]>('control', { args: [control] }),
  );

/** Where it stands, also shortly after its end. Throws `NoReplay`, `ReplaySilent`. */
export const readReplayState = (door: ReplayDoor, projection: string): Promise<ReplayState> =>
  answered(door, projection, () => handleOf(door, projection).query<ReplayState>('state'));

/** The run that is open; null: none is. */
export async function findReplay(door: ReplayDoor, projection: string): Promise<StartedReplay | null> {
  const handle = handleOf(door, projection);
  try {
    const { status, runId } = await answered(door, projection, () => handle.describe());
    return status.name === 'RUNNING' ? { projection, workflowId: handle.workflowId, runId } : null;
  } catch (error) {
    if (error instanceof NoReplay) return null;
    throw error;
  }
}

/** Why its last run failed; null: it runs, or ended as it should. */
export async function whyReplayFailed(door: ReplayDoor, projection: string): Promise<string | null> {
  if (await findReplay(door, projection)) return null;
  try {
    await answered(door, projection, () => handleOf(door, projection).result());
    return null;
  } catch (error) {
    if (!(error instanceof WorkflowFailedError)) throw error;
    return deepest(error).message;
  }
}

const WORKFLOW_TASKS = 1;

/** How many workers of replays there are. */
export async function countReplayWorkers({ temporal, idPrefix }: ReplayDoor): Promise<number> {
  const { pollers } = await temporal.withDeadline(Date.now() + ANSWER_MS_MAX, () =>
    temporal.workflowService.describeTaskQueue({
      namespace: temporal.options.namespace,
      taskQueue: { name: idPrefix + REPLAY_QUEUE },
      taskQueueType: WORKFLOW_TASKS,
    }),
  );
  return pollers?.length ?? 0;
}

/** Cancels its workflow, which then removes what was built: also where it takes no message. */
export async function cancelReplayWorkflow(door: ReplayDoor, projection: string): Promise<void> {
  await answered(door, projection, () => handleOf(door, projection).cancel());
}

/** Ends its workflow at once, and nothing of what it made: of a replay that no worker has begun. */
export async function terminateReplay(door: ReplayDoor, projection: string, reason: string): Promise<void> {
  await answered(door, projection, () => handleOf(door, projection).terminate(reason));
}

const handleOf = ({ temporal, idPrefix }: ReplayDoor, projection: string) =>
  temporal.workflow.getHandle(idPrefix + replayWorkflowId(projection));

async function answered<T>({ temporal }: ReplayDoor, projection: string, ask: () => Promise<T>): Promise<T> {
  try {
    return await temporal.withDeadline(Date.now() + ANSWER_MS_MAX, ask);
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) throw new NoReplay(projection, { cause: error });
    if (error instanceof WorkflowUpdateFailedError)
      throw new ReplayRefused((error.cause ?? error).message, { cause: error });
    if (isSilence(error)) throw new ReplaySilent(projection, { cause: error });
    throw error;
  }
}

function isSilence(error: unknown): boolean {
  if (error instanceof WorkflowUpdateRPCTimeoutOrCancelledError) return true;
  if (isGrpcServiceError(error)) return SILENT.has(Number(error.code));
  return error instanceof Error && error.cause !== undefined && isSilence(error.cause);
}

/** Temporal wraps what failed in what it failed in. */
const deepest = (error: Error): Error => (error.cause instanceof Error ? deepest(error.cause) : error);
