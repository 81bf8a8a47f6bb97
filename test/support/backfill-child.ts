import { DefaultLogger, NativeConnection, Runtime } from '@temporalio/worker';
import { runBackfillWorker } from '../../workers/backfill';
import { accounts, both } from './backfilling';
import { required } from './system';

// A backfill worker as a process of its own, to be killed.
async function main(): Promise<void> {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  const running = await runBackfillWorker({
    model: accounts,
    backfills: both,
    connection: await NativeConnection.connect({ address: required('CHILD_TEMPORAL') }),
    namespace: 'default',
    databaseUrl: required('CHILD_DATABASE_URL'),
    idPrefix: required('CHILD_NAME'),
  });
  process.send?.('ready');
  await running.finished;
}

void main();
