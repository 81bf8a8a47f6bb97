import { randomUUID } from 'node:crypto';
import { WorkflowExecutionAlreadyStartedError, type Client, type WorkflowHandle } from '@temporalio/client';
import type { backfill, BackfillInput } from '../workflows/backfill';
import { BACKFILL_QUEUE, BACKFILL_WORKFLOW, backfillWorkflowId } from '../workflows/names';

export type BackfillHandle = WorkflowHandle<typeof backfill>;

/** One of this name runs already; what it is known by in Temporal. */
export class BackfillRunning extends Error {
  override readonly name = 'BackfillRunning';

  constructor(
    readonly workflowId: string,
    readonly runId: string,
  ) {
    super(`${workflowId} is running already, as run ${runId}`);
  }
}

interface Place {
  readonly temporal: Client;
  /** Before the workflow id and the task queue. */
  readonly idPrefix: string;
}

/** Starts a run: its name is its workflow's id, so there is one at a time. Throws `BackfillRunning`. */
export async function startBackfill(
  { temporal, idPrefix }: Place,
  wanted: Omit<BackfillInput, 'run'>,
): Promise<{ readonly run: string; readonly handle: BackfillHandle }> {
  const run = randomUUID();
  const workflowId = idPrefix + backfillWorkflowId(wanted.name);
  try {
    const handle = await temporal.workflow.start<typeof backfill>(BACKFILL_WORKFLOW, {
      workflowId,
      taskQueue: idPrefix + BACKFILL_QUEUE,
      args: [{ run, ...wanted }],
      workflowIdConflictPolicy: 'FAIL',
      workflowIdReusePolicy: 'ALLOW_DUPLICATE',
      staticSummary: `brings in ${wanted.name}${wanted.dryRun ? ', as a dry run' : ''}`,
    });
    return { run, handle };
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    const { runId } = await temporal.workflow.getHandle(workflowId).describe();
    throw new BackfillRunning(workflowId, runId);
  }
}

/** The run of a name that runs now, or the last one. */
export const findBackfill = ({ temporal, idPrefix }: Place, name: string): BackfillHandle =>
  temporal.workflow.getHandle<typeof backfill>(idPrefix + backfillWorkflowId(name));
