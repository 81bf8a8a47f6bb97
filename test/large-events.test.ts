import { randomBytes } from 'node:crypto';
import { makeCommit } from '../activities/commit';
import { makeProjector } from '../activities/project';
import { describeTable } from '../db/read-model-table';
import { tailLog, type LogConsumer } from '../activities/tail';
import { migrate } from '../db/migrate';
import { openPool } from '../db/pool';
import { readProjections } from '../db/projections';
import { listenForWakes } from '../db/wake';
import { model } from '../model/model';
import { counterTotals } from './support/counter-totals';
import { counterCommand, counters } from './support/counters';
import { testDatabase, type TestDatabase } from './support/system';
import { until } from './support/until';

const EVENTS = 200;
const CHARACTERS = 500_000;

const projection = counterTotals(() => undefined);
const ofModel = model({ entities: counters.entities, projections: [projection] });
let database: TestDatabase;

beforeEach(async () => {
  database = await testDatabase();
  await migrate(database.url, { model: ofModel, owned: true });
});
afterEach(() => database.drop());

// PostgreSQL keeps the first as it is, and packs the second to a sixtieth: its bound must hold for what comes out again.
test.each([
  ['that cannot be compressed', () => randomBytes(CHARACTERS / 2).toString('hex')],
  ['that can', () => 'compress '.repeat(CHARACTERS / 9)],
])(
  '200 events of 500 kB %s are projected in chunks that fit into memory',
  async (_what, text) => {
    const commits = openPool({ url: database.urlOf('commit'), max: 2, applicationName: 'test' });
    const db = openPool({ url: database.urlOf('project'), max: 2, applicationName: 'test' });
    const commit = makeCommit({ db: commits, model: counters, partitions: 64, wake: () => undefined });
    const note = text();
    // In few partitions, so that each has many.
    for (let n = 0; n < EVENTS; n += 4) {
      await commit([0, 1, 2, 3].map((k) => counterCommand(`large-${k % 2}`, { note })));
    }

    const chunks: number[] = [];
    const table = await describeTable(db, 'counter_totals__g1');
    const projector = makeProjector({ model: ofModel, projection, generation: 1, table });
    const consumer: LogConsumer = {
      ...projector,
      apply: (tx, events) => {
        chunks.push(JSON.stringify(events).length);
        return projector.apply(tx, events);
      },
    };
    const abort = new AbortController();
    const wakes = listenForWakes(database.urlOf('project'));
    const running = tailLog(consumer, { db, wakes, heartbeat: () => undefined, signal: abort.signal });
    await until(
      async () => (await readProjections(database.db)).find(({ name }) => name === 'counter_totals')?.lag_events === 0,
      {
        what: 'lag 0',
      },
    );
    abort.abort();
    await running;
    await Promise.all([wakes.close(), commits.end(), db.end()]);

    const total = chunks.reduce((sum, one) => sum + one, 0);
    expect(total).toBeGreaterThan(EVENTS * CHARACTERS); // each was read
    expect(total).toBeLessThan(EVENTS * CHARACTERS * 1.1); // and once
    expect(Math.max(...chunks)).toBeLessThan(60_000_000);
  },
  60_000,
);
