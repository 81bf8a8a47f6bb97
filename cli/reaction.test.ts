import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { ensureCheckpoints } from '../db/checkpoints';
import { declare, openReacting, recording, type Call } from '../test/support/reacting';
import { counterCommand } from '../test/support/counters';
import { required, testDatabase } from '../test/support/system';

const ROOT = resolve(__dirname, '..');
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'reprise-cli-reaction-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A project in the folder: its files by name, the model and the reactions among them. */
function project(files: Readonly<Record<string, string>>): void {
  const reprise = { model: './model.ts', reactions: './reactions.ts' };
  for (const [name, code] of Object.entries(files)) writeFileSync(join(folder, name), code);
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ reprise }));
}
const at = (file: string): string => JSON.stringify(join(ROOT, file));
const MODEL = `export { counters as model } from ${at('test/support/counters')};`;
const reactionsOf = (declaration: string): string =>
  `import { reaction, reactions as list } from ${at('model/reaction')};
   import { counterAdded } from ${at('test/support/reacting')};
   export const tell = ${declaration};
   export const reactions = list([tell]);`;
const TELL = `reaction('tell', { on: [counterAdded], idempotency: 'key', handle: async () => undefined } as never)`;

async function reprise(args: readonly string[], env: Readonly<Record<string, string>>) {
  const child = spawn(process.execPath, [join(ROOT, 'cli/bin.js'), ...args, '--json'], {
    cwd: folder,
    env: { ...process.env, ...env },
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (bytes) => (stdout += String(bytes)));
  child.stderr.on('data', (bytes) => (stderr += String(bytes)));
  const status = await new Promise<number | null>((done) => child.once('close', done));
  return { status, told: JSON.parse(stdout || '{}') as unknown, stderr };
}

const NOWHERE = { DATABASE_URL: 'postgres://x@127.0.0.1:1/x', TEMPORAL_ADDRESS: '127.0.0.1:1' };

test('a model that leads to a reaction is refused, also by a worker at its start: a replay would load it', async () => {
  project({
    'reactions.ts': reactionsOf(TELL),
    'model.ts': `${MODEL}\nexport { tell } from './reactions';`,
  });
  const message = expect.stringMatching(/^reaction 'tell' is reachable from .*model\.ts: a replay/) as string;
  const refused = { status: 2, told: { error: { code: 'reaction_in_model', message } } };
  expect(await reprise(['reaction', 'show', 'tell'], NOWHERE)).toMatchObject(refused);
  const database = await testDatabase();
  try {
    const env = {
      DATABASE_URL: database.url,
      TEMPORAL_ADDRESS: required('REPRISE_TEST_TEMPORAL'),
      REPRISE_WORKFLOW_ID_PREFIX: `${new URL(database.url).pathname.slice(1)}-`,
      REPRISE_METRICS_PORT: '0',
    };
    expect(await reprise(['worker', 'reactions'], env)).toMatchObject(refused);
  } finally {
    await database.drop();
  }
});

test('a reaction that does not say why twice does no harm is refused, in one line', async () => {
  project({ 'model.ts': MODEL, 'reactions.ts': reactionsOf(TELL.replace(`idempotency: 'key', `, '')) });
  const { status, told } = await reprise(['reaction', 'show', 'tell'], NOWHERE);
  expect(status).not.toBe(0);
  expect(JSON.stringify(told)).toMatch(/say why twice does no harm: idempotency 'key', 'natural' or 'at-most-once'/);
  expect(JSON.stringify(told)).not.toMatch(/\\n\s+at /);
});

test('recover starts a handler that is open here and unknown to Temporal, once', async () => {
  project({ 'model.ts': MODEL, 'reactions.ts': reactionsOf(TELL) });
  const reacting = await openReacting();
  const { system } = reacting;
  try {
    const env = {
      DATABASE_URL: system.database.url,
      DATABASE_URL_REACT: system.database.urlOf('react'),
      TEMPORAL_ADDRESS: system.address,
      REPRISE_WORKFLOW_ID_PREFIX: system.name,
    };
    await reacting.commit(['a', 'b'].map((id) => counterCommand(id, { by: 1 })));
    await ensureCheckpoints(system.db, 'reaction/tell', 'head');
    await system.db.query(
      `insert into reprise.reactions (reaction, entity_type, entity_id, version, event_id, partition, "offset")
       select 'tell', entity_type, entity_id, version, event_id, partition, "offset" from reprise.events`,
    );
    expect(await reprise(['reaction', 'recover', 'tell'], env)).toMatchObject({
      status: 0,
      told: { reaction: 'tell', open: 2, started: 2 },
    });
    expect(await reprise(['reaction', 'recover', 'tell'], env)).toMatchObject({
      status: 0,
      told: { reaction: 'tell', open: 2, started: 0 },
    });
    const calls: Call[] = [];
    await system.startReactions([declare('tell', { handle: recording(calls) })]);
    await reacting.untilStatus('tell', { done: 2, open: 0 });
    expect(calls.map(({ key }) => key).sort()).toEqual(['reaction/tell/counter/a/1', 'reaction/tell/counter/b/1']);
    expect(await reprise(['reaction', 'recover', 'tell'], env)).toMatchObject({ told: { open: 0, started: 0 } });
  } finally {
    await reacting.close();
  }
});
