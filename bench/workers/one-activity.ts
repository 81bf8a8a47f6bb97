import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';

// The bare one-activity workflow's worker, in a process of its own as ours is.
async function main(): Promise<void> {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  const worker = await Worker.create({
    connection: await NativeConnection.connect({ address: process.env['BENCH_TEMPORAL'] ?? '' }),
    taskQueue: 'bench-one',
    workflowsPath: require.resolve('../workflows/one-activity'),
    activities: { nothing: async (version: number) => version },
    maxConcurrentActivityTaskExecutions: 20,
  });
  process.send?.('ready');
  process.once('disconnect', () => process.exit(0));
  await worker.run();
}

void main();
