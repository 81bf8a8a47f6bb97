import { makeProjector } from '../../activities/project';
import { describeTable } from '../../db/read-model-table';
import { tailLog, type LogConsumer } from '../../activities/tail';
import { openPool } from '../../db/pool';
import { listenForWakes } from '../../db/wake';
import { model } from '../../shop/model';
import { orderSummary } from '../../shop/order/projections';
import { required } from './system';

// A projector that stops itself (SIGSTOP) inside its first transaction that has events, after writing its rows.
async function main(): Promise<void> {
  const url = required('CHILD_DATABASE_URL');
  const db = openPool({ url, max: 2, applicationName: 'test-child' });
  const table = await describeTable(db, 'order_summary__g1');
  const projector = makeProjector({ model, projection: orderSummary, generation: 1, table });
  let stopped = false;
  const consumer: LogConsumer = {
    ...projector,
    apply: async (tx, events) => {
      const still = await projector.apply(tx, events);
      if (events.length > 0 && !stopped) {
        stopped = true;
        process.send?.('stopping');
        process.kill(process.pid, 'SIGSTOP');
      }
      return still;
    },
  };
  const signal = new AbortController().signal;
  try {
    await tailLog(consumer, { db, wakes: listenForWakes(url), heartbeat: () => undefined, signal });
  } catch (error) {
    process.send?.({ failed: error instanceof Error ? error.name : String(error) });
  }
  process.disconnect();
  process.exit(0);
}

void main();
