import { randomUUID } from 'node:crypto';
import {
  type Client,
  WithStartWorkflowOperation,
  WorkflowFailedError,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
  type WorkflowStartOptions,
} from '@temporalio/client';
import { defineSearchAttributeKey, TypedSearchAttributes } from '@temporalio/common';
import { fromSent, type CommandMessage, type Outcome, type SentOutcome } from '../contracts/message';
import type { EntityInput } from '../workflows/entity';
import { COMMIT_UPDATE, ENTITY_WORKFLOW, POST_SIGNAL } from '../workflows/names';
import { isRefusedForGood, isSignalLimit, isTransportError } from './grpc-retry';
import type { OpenWorkflows } from './open-workflows';

export interface DeliverPorts {
  readonly temporal: Client;
  readonly open: OpenWorkflows;
  readonly taskQueue: string;
  /** Before every workflow id: tells apart what shares a namespace. */
  readonly idPrefix: string;
  /** False where the namespace does not have them and registering is not allowed. */
  readonly searchAttributes: boolean;
}

// One attempt of a send; a longer one is asked for again under the same update id.
const ATTEMPT_MS_MAX = 20_000;
const RETRY_DELAY_MS = 50;
const RETRY_DELAY_MS_MAX = 2_000;

const ENTITY_TYPE = defineSearchAttributeKey('RepriseEntityType', 'KEYWORD');
const ENTITY_ID = defineSearchAttributeKey('RepriseEntityId', 'KEYWORD');

/** Delivers commands of one entity and brings their answers, trying again until `deadline` (ms since 1970). */
export async function deliver(
  ports: DeliverPorts,
  workflowId: string,
  commands: readonly CommandMessage[],
  deadline: number,
): Promise<readonly Outcome[]> {
  let updateId = randomUUID();
  let delayMs = RETRY_DELAY_MS;
  for (;;) {
    try {
      const outcomes = await ports.temporal.withDeadline(Math.min(deadline, Date.now() + ATTEMPT_MS_MAX), () =>
        update(ports, workflowId, updateId, commands),
      );
      ports.open.add(workflowId);
      return fromSent(outcomes, commands);
    } catch (error) {
      const hasClosed = ports.open.has(workflowId) && error instanceof WorkflowNotFoundError;
      ports.open.remove(workflowId);
      if (hasClosed) continue; // nothing was delivered: started again at once
      if (Date.now() + delayMs >= deadline || isFinalAnswer(error) || isRefusedForGood(error)) throw error;
      // The identical request after a lost connection keeps its id; anything else is a new send, and `commands` dedups.
      if (!isTransportError(error)) updateId = randomUUID();
      await new Promise((resolve) => setTimeout(resolve, delayMs));
      delayMs = Math.min(delayMs * 2, RETRY_DELAY_MS_MAX);
    }
  }
}

function update(
  ports: DeliverPorts,
  workflowId: string,
  updateId: string,
  commands: readonly CommandMessage[],
): Promise<readonly SentOutcome[]> {
  const { open, temporal } = ports;
  const args: [readonly CommandMessage[]] = [commands];
  if (open.has(workflowId))
    return temporal.workflow.getHandle(workflowId).executeUpdate(COMMIT_UPDATE, { args, updateId });
  const startWorkflowOperation = startOperation(ports, workflowId, commands);
  return temporal.workflow.executeUpdateWithStart<never, readonly SentOutcome[], typeof args>(COMMIT_UPDATE, {
    args,
    updateId,
    startWorkflowOperation,
  });
}

/** Hands commands over without waiting for their answers, trying again until `deadline`: `commands` dedups. */
export async function deliverPosts(
  ports: DeliverPorts,
  workflowId: string,
  commands: readonly CommandMessage[],
  deadline: number,
): Promise<void> {
  for (let delayMs = RETRY_DELAY_MS; ; delayMs = Math.min(delayMs * 2, RETRY_DELAY_MS_MAX)) {
    try {
      await ports.temporal.withDeadline(Math.min(deadline, Date.now() + ATTEMPT_MS_MAX), () =>
        ports.temporal.workflow.signalWithStart(ENTITY_WORKFLOW, {
          ...startOptions(ports, workflowId, commands),
          signal: POST_SIGNAL,
          signalArgs: [commands],
        }),
      );
      return;
    } catch (error) {
      const passes = !isRefusedForGood(error) || isSignalLimit(error);
      if (Date.now() + delayMs >= deadline || !passes) throw error;
      await new Promise((resolve) => setTimeout(resolve, delayMs));
    }
  }
}

export const workflowIdOf = (idPrefix: string, entityType: string, entityId: string): string =>
  `${idPrefix}${entityType}/${entityId}`;

// Only the workflow's own refusal to take an update is final; a run that closed or was terminated is started again.
function isFinalAnswer(error: unknown): boolean {
  if (error instanceof WorkflowFailedError) return false;
  if (!(error instanceof WorkflowUpdateFailedError)) return false;
  const type = (error.cause as { type?: string } | undefined)?.type;
  return type !== 'AcceptedUpdateCompletedWorkflow' && type !== 'UnprocessedUpdate';
}

const startOperation = (ports: DeliverPorts, workflowId: string, commands: readonly CommandMessage[]) =>
  new WithStartWorkflowOperation<never>(ENTITY_WORKFLOW, startOptions(ports, workflowId, commands) as never);

function startOptions(ports: DeliverPorts, workflowId: string, commands: readonly CommandMessage[]) {
  const { entityType = '', entityId = '' } = commands[0] ?? {};
  const input: EntityInput = { entityType, entityId };
  return {
    workflowId,
    taskQueue: ports.taskQueue,
    args: [input],
    workflowIdConflictPolicy: 'USE_EXISTING',
    workflowIdReusePolicy: 'ALLOW_DUPLICATE',
    staticSummary: `${entityType} ${entityId}`,
    ...(ports.searchAttributes
      ? {
          typedSearchAttributes: new TypedSearchAttributes([
            { key: ENTITY_TYPE, value: entityType },
            { key: ENTITY_ID, value: entityId },
          ]),
        }
      : {}),
  } satisfies WorkflowStartOptions;
}
