import { proxyActivities, setCurrentDetails, workflowInfo } from '@temporalio/workflow';

/** What an audit is started with. */
export interface AuditInput {
  readonly projection: string;
  /** How many are sampled. */
  readonly entities: number;
  /** Entities per second; null is no limit. */
  readonly perSecond: number | null;
}

export interface AuditResult {
  /** Looked at: sampled, and those that were known to differ. */
  readonly entities: number;
  readonly rows: number;
  readonly states: number;
  /** Rows and states that are not what their events fold to. */
  readonly different: number;
  /** States of another definition, and rows of too long a log. */
  readonly notCompared: number;
}

export interface AuditActivities {
  /** Samples, compares and writes down what differs. Begins anew when it is run again: what it wrote is replaced. */
  audit(input: AuditInput & { readonly run: string }): Promise<AuditResult>;
  /** Of a projection in the code that runs here. */
  declaredVersion(projection: string): Promise<number>;
}

const ATTEMPTS_MAX = 10;
const activities = proxyActivities<AuditActivities>({
  startToCloseTimeout: '1 day',
  heartbeatTimeout: '30 seconds',
  retry: { initialInterval: 500, backoffCoefficient: 2, maximumInterval: '30 seconds', maximumAttempts: ATTEMPTS_MAX },
});

/** Folds a random sample of entities again, one event at a time, and compares. */
export async function audit(input: AuditInput): Promise<AuditResult> {
  const result = await activities.audit({ ...input, run: workflowInfo().runId });
  setCurrentDetails(`${result.entities} entities, ${result.different} differences`);
  return result;
}
