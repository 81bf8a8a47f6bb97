import { makeProjector } from '../../activities/project';
import { describeTable } from '../../db/read-model-table';
import { tailLog } from '../../activities/tail';
import { openPool } from '../../db/pool';
import { listenForWakes } from '../../db/wake';
import { model } from '../../model/model';
import { counters } from './counters';
import { counterTotals } from './counter-totals';
import { required } from './system';

// A projector that one event kills: no exception, the process is gone.
async function main(): Promise<void> {
  const url = required('CHILD_DATABASE_URL');
  const db = openPool({ url, max: 2, applicationName: 'test-child' });
  const projection = counterTotals((entityId) => {
    if (entityId === 'killer') process.kill(process.pid, 'SIGKILL');
  });
  const table = await describeTable(db, 'counter_totals__g1');
  const ofModel = model({ entities: counters.entities, projections: [projection] });
  const projector = makeProjector({ model: ofModel, projection, generation: 1, table });
  const signal = new AbortController().signal;
  await tailLog(projector, { db, wakes: listenForWakes(url), heartbeat: () => undefined, signal });
}

void main();
