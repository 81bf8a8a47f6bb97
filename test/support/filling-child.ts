import { fill } from '../../activities/replay/fill';
import { openPool } from '../../db/pool';
import { model } from '../../shop/model';
import { required } from './system';

// Fills a generation until it is killed.
async function main(): Promise<void> {
  const db = openPool({ url: required('CHILD_DATABASE_URL'), max: 8, applicationName: 'test-child' });
  const signal = new AbortController().signal;
  const ports = { db, readDb: db, model, heartbeat: () => undefined, signal: () => signal };
  const build = { consumer: 'projection/order_summary', generation: Number(required('CHILD_GENERATION')) };
  await fill(ports, build, { nth: 0, of: 1 });
  process.exit(0);
}

void main();
