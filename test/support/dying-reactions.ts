import { Client, Connection } from '@temporalio/client';
import { DefaultLogger, NativeConnection, Runtime } from '@temporalio/worker';
import { runReactionsWorker } from '../../workers/reactions';
import { counters } from './counters';
import { declare } from './reacting';
import { required } from './system';

// A reactions worker that one entity's handler kills: no exception, the process is gone.
async function main(): Promise<void> {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  const address = required('CHILD_TEMPORAL');
  const handle = async ({ entityId }: { entityId: string }) => {
    process.send?.(entityId);
    if (entityId === 'killer') process.kill(process.pid, 'SIGKILL');
  };
  await runReactionsWorker({
    model: counters,
    reactions: [declare('mortal', { handle, retry: { attempts: 2, firstMs: 20 } })],
    ports: {},
    connection: await NativeConnection.connect({ address }),
    client: new Client({ connection: await Connection.connect({ address }) }),
    namespace: 'default',
    databaseUrl: required('CHILD_DATABASE_URL'),
    send: () => Promise.reject(new Error('it sends nothing')),
    idPrefix: required('CHILD_PREFIX'),
  });
}

void main();
