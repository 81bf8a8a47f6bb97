import { proxyActivities } from '@temporalio/workflow';

const { nothing } = proxyActivities<{ nothing(version: number): Promise<number> }>({
  startToCloseTimeout: '60 seconds',
  heartbeatTimeout: '10 seconds',
  retry: { initialInterval: 500, backoffCoefficient: 2, maximumInterval: '60 seconds', maximumAttempts: 8 },
});

/** What a started side effect costs Temporal itself: one workflow, one activity that does nothing. */
export async function oneActivity({ version }: { readonly version: number }): Promise<number> {
  return nothing(version);
}
