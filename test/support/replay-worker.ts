import { constants, setPriority } from 'node:os';
import { NativeConnection, Runtime } from '@temporalio/worker';
import { model } from '../../shop/model';
import { runReplayWorker } from '../../workers/replay';
import { placeOf, wallOff } from '../../workers/replay/wall';
import { required } from './system';

// A worker of replays as `reprise worker replay` runs it: behind its wall, and to be killed.
async function main(): Promise<void> {
  Runtime.install({ shutdownSignals: [] });
  const [databaseUrl, readUrl, address] = [
    required('CHILD_DATABASE_URL'),
    required('CHILD_READ_URL'),
    required('CHILD_TEMPORAL'),
  ];
  const connection = await NativeConnection.connect({ address });
  const idPrefix = required('CHILD_PREFIX');
  await runReplayWorker({ model, connection, namespace: 'default', databaseUrl, readUrl, idPrefix });
  const refused = wallOff([databaseUrl, readUrl, address].map(placeOf));
  setPriority(constants.priority.PRIORITY_BELOW_NORMAL);
  process.on('message', () => process.send?.({ refused: refused() }));
  process.send?.({ ready: true });
}

void main();
