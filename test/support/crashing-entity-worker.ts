import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import { makeCommit } from '../../activities/commit';
import type { CommandMessage } from '../../contracts/message';
import { openPool } from '../../db/pool';
import { model } from '../../shop/model';
import { required } from './system';

// An entity worker that is killed between the COMMIT of its first batch and Temporal's hearing of it.
async function main(): Promise<void> {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  const connection = await NativeConnection.connect({ address: required('CHILD_TEMPORAL') });
  const db = openPool({ url: required('CHILD_DATABASE_URL'), max: 2, applicationName: 'test-child' });
  const commit = makeCommit({ db, model, partitions: 64, wake: () => undefined });
  const worker = await Worker.create({
    connection,
    taskQueue: required('CHILD_QUEUE'),
    workflowBundle: { codePath: required('REPRISE_WORKFLOW_BUNDLE') },
    activities: {
      commit: async (batch: readonly CommandMessage[]) => {
        await commit(batch);
        process.kill(process.pid, 'SIGKILL');
      },
    },
    enableNonLocalActivities: false,
  });
  process.send?.('ready');
  await worker.run();
}

void main();
