import { WorkflowFailedError, type WorkflowHandle } from '@temporalio/client';
import { AUDIT_WORKFLOW, auditWorkflowId, REPLAY_QUEUE } from '../workflows/names';
import type { AuditInput, AuditResult } from '../workflows/audit';
import type { ReplayDoor } from './replay';

/** An audit ended in an error; nothing was changed by it. */
export class AuditFailed extends Error {
  override readonly name = 'AuditFailed';
}

/** Runs it to its end. While one of that projection is open, that one's result is given. Throws `AuditFailed`. */
export async function runAudit({ temporal, idPrefix }: ReplayDoor, input: AuditInput): Promise<AuditResult> {
  const { projection } = input;
  const handle: WorkflowHandle = await temporal.workflow.start(AUDIT_WORKFLOW, {
    workflowId: idPrefix + auditWorkflowId(projection),
    taskQueue: idPrefix + REPLAY_QUEUE,
    args: [input],
    workflowIdConflictPolicy: 'USE_EXISTING',
    workflowIdReusePolicy: 'ALLOW_DUPLICATE',
    staticSummary: `compares read.${projection} and its entities with their events`,
  });
  try {
    return (await handle.result()) as AuditResult;
  } catch (cause) {
    if (!(cause instanceof WorkflowFailedError)) throw cause;
    throw new AuditFailed(deepest(cause).message, { cause });
  }
}

/** Temporal wraps what failed in what it failed in. */
const deepest = (error: Error): Error => (error.cause instanceof Error ? deepest(error.cause) : error);
