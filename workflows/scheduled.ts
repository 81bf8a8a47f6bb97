import { executeChild, ParentClosePolicy, proxyActivities, setCurrentDetails } from '@temporalio/workflow';
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import type { AuditActivities } from './audit';

/** What a schedule starts each time. */
export interface Scheduled {
  readonly workflow: string;
  /** The one that people know it by: Temporal gives what a schedule starts an id with its time in it. */
  readonly workflowId: string;
  readonly input: { readonly projection: string } & Readonly<Record<string, unknown>>;
  /** Its input names the fold's declared version: that of the worker of this time, not of the schedule's making. */
  readonly versioned: boolean;
}

const { declaredVersion } = proxyActivities<AuditActivities>({
  startToCloseTimeout: '1 minute',
  retry: { maximumAttempts: 10 },
});

/** Runs it to its end, so that a schedule does not begin the next before; passed over while one of that id runs. */
export async function scheduled({ workflow, workflowId, input, versioned }: Scheduled): Promise<unknown> {
  const of = versioned ? { declaredVersion: await declaredVersion(input.projection), workflowId } : {};
  try {
    return await executeChild(workflow, {
      workflowId,
      args: [{ ...input, ...of }],
      parentClosePolicy: ParentClosePolicy.REQUEST_CANCEL,
    });
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    const passedOver = `passed over: ${workflowId} runs already`;
    setCurrentDetails(passedOver);
    return passedOver;
  }
}
