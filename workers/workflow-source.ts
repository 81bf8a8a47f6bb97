import type { WorkerOptions } from '@temporalio/worker';

/** The workflows a live worker runs: a bundle made beforehand (`REPRISE_WORKFLOW_BUNDLE`), else bundled now, in seconds. */
export function workflowSource(env: NodeJS.ProcessEnv): Pick<WorkerOptions, 'workflowBundle' | 'workflowsPath'> {
  const codePath = env['REPRISE_WORKFLOW_BUNDLE'];
  return codePath ? { workflowBundle: { codePath } } : { workflowsPath: require.resolve('../workflows/index') };
}
