import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';

// The bare entity's worker, in a process of its own as ours is.
async function main(): Promise<void> {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  const connection = await NativeConnection.connect({ address: process.env['BENCH_TEMPORAL'] ?? '' });
  const worker = await Worker.create({
    connection,
    taskQueue: 'bench-bare',
    workflowsPath: require.resolve('../workflows/bare-entity'),
    activities: { nothing: async (batch: readonly string[]) => batch.length },
    enableNonLocalActivities: false,
    maxConcurrentLocalActivityExecutions: 500,
    maxCachedWorkflows: 200,
  });
  process.send?.('ready');
  process.once('disconnect', () => process.exit(0));
  await worker.run();
}

void main();
