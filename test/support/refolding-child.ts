import { refold } from '../../activities/replay/refold';
import { openPool } from '../../db/pool';
import { model } from '../../shop/model';
import { required } from './system';

// Folds what is chosen again until it is killed.
async function main(): Promise<void> {
  const db = openPool({ url: required('CHILD_DATABASE_URL'), max: 8, applicationName: 'test-child' });
  const signal = new AbortController().signal;
  const ports = { db, readDb: db, model, heartbeat: () => undefined, signal: () => signal };
  await refold(ports, { consumer: 'projection/order_summary', generation: Number(required('CHILD_GENERATION')) });
  process.exit(0);
}

void main();
