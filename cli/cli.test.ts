import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const ROOT = resolve(__dirname, '..');
let project: string;

beforeAll(() => {
  project = mkdtempSync(join(tmpdir(), 'reprise-cli-'));
  writeFileSync(join(project, 'package.json'), JSON.stringify({ reprise: { model: join(ROOT, 'shop/model.ts') } }));
});
afterAll(() => rmSync(project, { recursive: true, force: true }));

function reprise(args: readonly string[], env: Record<string, string> = {}) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(ROOT, 'cli/bin.js'), ...args], {
    cwd: project,
    encoding: 'utf8',
    env: { ...process.env, DATABASE_URL: '', TEMPORAL_ADDRESS: '', ...env },
  });
  return { status, stdout, stderr };
}

test.each([
  [['nonsense'], /unknown command 'nonsense'/],
  [['entity', 'show', 'order'], /missing required argument 'id'/],
  [['start', '--nonsense'], /unknown option '--nonsense'/],
  [['entity', 'show', 'ordr', '1'], /no entity 'ordr'/],
  [['entity', 'at', 'order', '1', 'yesterday-ish'], /neither a version nor a time/],
  [['projection', 'reset', 'order_summry', '--yes'], /no projection 'order_summry'/],
  [['worker', 'gardener'], /no worker 'gardener'/],
  [['migrate', '--partitions', '0'], /whole number from 1 to 4096/],
])('a wrong call ends with 2 and one line that helps: %j', (args, message) => {
  const { status, stderr } = reprise(args, { DATABASE_URL: 'postgres://x@127.0.0.1:1/x' });
  expect({ status, stderr }).toEqual({ status: 2, stderr: expect.stringMatching(message) as string });
  expect(stderr).not.toMatch(/\n\s+at /);
});

test('nothing running is said with the way to get it', () => {
  const { status, stderr } = reprise(['projection', 'ls']);
  expect(status).toBe(1);
  expect(stderr).toMatch(/reprise start/);
});

test('a database that cannot be reached ends with 1, without a stack or a secret', () => {
  const { status, stderr } = reprise(['projection', 'ls'], { DATABASE_URL: 'postgres://me:sesame@127.0.0.1:1/x' });
  expect(status).toBe(1);
  expect(stderr).toMatch(/ECONNREFUSED/);
  expect(stderr).not.toMatch(/sesame|\n\s+at /);
});

test('a Temporal configuration without a profile is named, with what it lacks', () => {
  const file = join(project, 'empty.toml');
  writeFileSync(file, '');
  const { status, stderr } = reprise(['projection', 'ls'], {
    DATABASE_URL: 'postgres://x',
    TEMPORAL_CONFIG_FILE: file,
  });
  expect({ status, stderr }).toEqual({
    status: 1,
    stderr: expect.stringContaining(`${file}): it has no [profile`) as string,
  });
});

test('--json tells an error as one object', () => {
  const { status, stdout } = reprise(['entity', 'show', 'ordr', '1', '--json'], {
    DATABASE_URL: 'postgres://x@127.0.0.1:1/x',
  });
  expect(status).toBe(2);
  expect(JSON.parse(stdout)).toMatchObject({
    error: { code: 'usage', next: expect.stringContaining('order') as string },
  });
});

test('help is help, not an error', () => {
  expect(reprise(['--help'])).toMatchObject({ status: 0, stdout: expect.stringContaining('doctor') as string });
});
