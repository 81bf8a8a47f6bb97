import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { readBackfill, type BackfillRun } from '../db/backfills';
import { startChild, type Child } from './support/child';
import { accounts, begin, both, bringIn, makeFolder, readRejectsOf, truthOf } from './support/backfilling';
import { TestSystem } from './support/system';
import { until } from './support/until';

const ROWS = 100_000;
const ENTITIES = 10_000;

let folder: ReturnType<typeof makeFolder>;
beforeAll(() => (folder = makeFolder()));
afterAll(() => folder.remove());

/**
 * 10,000 accounts, each one's ten rows ten thousand apart; every hundredth row is bad, in one of ten ways. A BOM, CRLF, and
 * line breaks inside quotes.
 */
async function writeBook(): Promise<string> {
  const file = join(folder.dir, 'book.csv');
  const out = createWriteStream(file);
  out.write('\uFEFFid,account,what,by,text,at\r\n');
  for (let n = 0; n < ROWS; n++) out.write(`${n % 100 === 99 ? badRow(n) : goodRow(n)}\r\n`);
  await new Promise<void>((done) => out.end(done));
  return file;
}

const at = (n: number) => `20${String(10 + Math.floor(n / ENTITIES)).padStart(2, '0')}-01-01T00:00:00Z`;
const goodRow = (n: number, by = (n % 97) + 1) =>
  n < ENTITIES
    ? `${n},a${n % ENTITIES},open,0,owner of ${n},${at(n)}`
    : `${n},a${n % ENTITIES},move,${by},${n % 7 === 0 ? `"a note, ""quoted""\r\nof ${n}"` : 'x'},${at(n)}`;

function badRow(n: number): string {
  const account = `a${n % ENTITIES}`;
  const bad = [
    `${n},${account},move,-999999,no cover,${at(n)}`, // refused
    `${n},never-${n},move,1,not open,${at(n)}`, // refused: of an entity that has no events
    `${n},${account},move,ten,no number,${at(n)}`,
    `${n},${account},move,1,throw,${at(n)}`,
    `${n},${account},move,1,too,many,${at(n)}`,
    `${n},${account},move,1,a "quote" inside,${at(n)}`,
    `${n},${account},move,1,"never closed,${at(n)}`,
    `,${account},move,1,no id,${at(n)}`,
    `${n},${account},move,1,x,yesterday`,
    `${n - 1},${account},open,0,an id used before,${at(n)}`, // of another entity: opened twice, or here first
  ];
  return bad[Math.floor(n / 100) % bad.length] ?? '';
}

async function startWorkerProcess(system: TestSystem<typeof accounts.entities>): Promise<Child> {
  const child = startChild('backfill-child.ts', {
    CHILD_TEMPORAL: system.address,
    CHILD_DATABASE_URL: system.database.urlOf('commit'),
    CHILD_NAME: system.name,
  });
  await until(() => child.messages.includes('ready'), { what: 'the worker is ready', withinMs: 60_000 });
  return child;
}

/** SIGKILL at a third and at two thirds; each time another process goes on. */
async function bringInKilledTwice(
  system: TestSystem<typeof accounts.entities>,
  wanted: Parameters<typeof begin>[1],
): Promise<BackfillRun> {
  const { run, handle } = await begin(system, wanted);
  for (const third of [1, 2]) {
    const child = await startWorkerProcess(system);
    await until(async () => ((await readBackfill(system.db, run))?.accepted ?? 0) > (ROWS * third) / 3, {
      what: `${third} thirds are in`,
      withinMs: 240_000,
    });
    await child.kill();
  }
  expect(await readBackfill(system.db, run)).toMatchObject({ status: 'running' });
  await system.startBackfillWorker(both);
  const ended = await handle.result();
  if (!ended) throw new Error('it ended before it began');
  return ended;
}

test('100,000 rows, a hundredth of them bad, killed half-way twice: events, states and rejects are those of one clean run', async () => {
  const file = await writeBook();
  const [clean, killed] = await Promise.all([TestSystem.open(accounts), TestSystem.open(accounts)]);
  await clean.startBackfillWorker(both);
  const [cleanRun, killedRun] = await Promise.all([
    bringIn(clean, { name: 'bookings', file, rejectsFile: `${file}-clean.rejects.ndjson` }),
    bringInKilledTwice(killed, { name: 'bookings', file, rejectsFile: `${file}-killed.rejects.ndjson` }),
  ]);
  const rejects = readRejectsOf(`${file}-clean`);
  expect(cleanRun).toMatchObject({ status: 'done', rows_read: ROWS, repeated: 0 });
  expect(cleanRun.accepted + cleanRun.rejected).toBe(ROWS);
  expect(rejects).toHaveLength(cleanRun.rejected);
  const facts = ({ status, rows_read, accepted, repeated, events, rejected }: BackfillRun) => {
    return { status, rows_read, accepted, repeated, events, rejected };
  };
  expect(facts(killedRun)).toEqual(facts(cleanRun));
  expect(readRejectsOf(`${file}-killed`)).toEqual(rejects);
  expect(await truthOf(killed)).toEqual(await truthOf(clean));
  await Promise.all([clean.close(), killed.close()]);
}, 600_000);
