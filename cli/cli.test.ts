import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { required, testDatabase } from '../test/support/system';
import { ensureCheckpoints } from '../db/checkpoints';

const ROOT = resolve(__dirname, '..');
let project: string;

beforeAll(() => {
  project = mkdtempSync(join(tmpdir(), 'reprise-cli-'));
  writeFileSync(join(project, 'package.json'), JSON.stringify({ reprise: { model: join(ROOT, 'shop/model.ts') } }));
});
afterAll(() => rmSync(project, { recursive: true, force: true }));

function reprise(args: readonly string[], env: Record<string, string> = {}, cwd = project) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(ROOT, 'cli/bin.js'), ...args], {
    cwd,
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
  [['entity'], /Usage: reprise entity/],
  [['entity', 'show', 'order', 'a*b'], /no id of an entity/],
  [['entity', 'show', 'order', 'x'.repeat(300)], /at most 200 bytes/],
  [['entity', 'show', '__proto__', '1'], /no entity '__proto__'/],
  [['entity', 'at', 'order', '1', '-1'], /unknown option|neither a version nor a time/],
  [['entity', 'at', 'order', '1', '2026-11-24T10:00:00'], /neither a version nor a time with its zone/],
  [['entity', 'at', 'order', '1', '1996-09-31'], /neither a version nor a time/],
  [['entity', 'at', 'order', '1', 'note 3'], /neither a version nor a time/],
  [['projection', 'reset', 'order_summry', '--yes'], /no projection 'order_summry'/],
  [['worker', 'gardener'], /no worker 'gardener'/],
  [['sink', 'add', 'bus'], /what kind of sink is 'bus'/],
  [['sink', 'add', 'NATS'], /no name for a sink/],
  [['sink', 'add', 'nats', '--option', 'strem=X'], /strem=X is not one of a nats sink/],
  [['sink', 'add', 'rabbitmq', '--option', 'bytesMax=0'], /whole number above 0/],
  [['parked', 'skip', 'relay/nats', 'order/1'], /needs --reason/],
  [['search'], /missing required argument 'text'/],
  [['search', 'tea', '--limit', 'many'], /limit is a whole number from 1 to 100/],
  [['search', 'tea', '--in', 'order_summary'], /no read model 'order_summary' that declares a search/],
  [['search', 'tea', '--language', 'klingon'], /nothing is searched in 'klingon'/],
  [['migrate', '--partitions', '0'], /whole number from 1 to 4096/],
  [['worker', 'entity'], /REPRISE_METRICS_PORT is '94640', not a port/],
])('a wrong call ends with 2 and one line that helps: %j', (args, message) => {
  const env = { DATABASE_URL: 'postgres://x@127.0.0.1:1/x', REPRISE_METRICS_PORT: '94640' };
  const { status, stderr } = reprise(args, env);
  expect({ status, stderr }).toEqual({ status: 2, stderr: expect.stringMatching(message) as string });
  expect(stderr).not.toMatch(/\n\s+at .*:\d+/);
});

test.each(['-1', 'many', '1e3', '10000000000'])('REPRISE_PARKED_MAX=%s is named, and no worker starts', (parkedMax) => {
  const env = { DATABASE_URL: 'postgres://x@127.0.0.1:1/x', REPRISE_PARKED_MAX: parkedMax };
  const { status, stderr } = reprise(['worker', 'consumers'], env);
  expect({ status, stderr }).toEqual({
    status: 2,
    stderr: expect.stringMatching(`REPRISE_PARKED_MAX is '${parkedMax}', not a number of entities`) as string,
  });
});

test('a sink is added, shown and removed, and what is parked can be let go', async () => {
  const database = await testDatabase();
  const run = (...args: string[]) => {
    const { status, stdout } = reprise([...args, '--json'], { DATABASE_URL: database.url });
    return { status, told: JSON.parse(stdout) as unknown };
  };
  try {
    expect(run('sink', 'add', 'bus', '--kind', 'nats', '--option', 'stream=ORDERS')).toEqual({
      status: 0,
      told: { added: 'bus', kind: 'nats', options: { stream: 'ORDERS' } },
    });
    expect(run('sink', 'add', 'bus', '--kind', 'nats')).toMatchObject({
      status: 1,
      told: { error: { code: 'exists' } },
    });
    expect(run('sink', 'ls')).toMatchObject({
      told: { sinks: [{ sink: 'bus', kind: 'nats', waiting: 0, parked: 0 }] },
    });
    await database.db.query(
      `insert into reprise.parked
         (consumer, generation, entity_type, entity_id, from_offset, event_id, error, fingerprint, attempts)
       values ('relay/bus', 0, 'order', '1', 1, gen_random_uuid(), 'too large', 'f', 1)`,
    );
    expect(run('parked', 'ls')).toMatchObject({ told: { parked: [{ consumer: 'relay/bus', entities: 1 }] } });
    expect(run('parked', 'show', 'relay/bus')).toMatchObject({ told: { parked: [{ entity: 'order/1' }] } });
    expect(run('parked', 'redrive', 'relay/bus')).toEqual({ status: 0, told: { redriving: 1 } });
    expect(run('parked', 'skip', 'relay/bus', 'order/1', '--reason', 'too large')).toMatchObject({ status: 0 });
    expect(run('parked', 'redrive', 'relay/bus', 'order/2')).toMatchObject({
      status: 1,
      told: { error: { code: 'not_parked' } },
    });
    expect(run('sink', 'rm', 'bus')).toMatchObject({ told: { error: { code: 'not_confirmed' } } });
    expect(run('sink', 'rm', 'bus', '--yes')).toEqual({ status: 0, told: { removed: 'bus', lost: 0 } });
    expect(run('sink', 'rm', 'bus', '--yes')).toMatchObject({ status: 1, told: { error: { code: 'no_sink' } } });
  } finally {
    await database.drop();
  }
}, 60_000);

test('a feed is shown with how far behind it is, and forgotten with what it held back', async () => {
  const database = await testDatabase();
  const run = (...args: string[]) => {
    const { status, stdout } = reprise([...args, '--json'], { DATABASE_URL: database.url });
    return { status, told: JSON.parse(stdout) as unknown };
  };
  try {
    expect(run('feed', 'ls')).toEqual({ status: 0, told: { feeds: [] } });
    await ensureCheckpoints(database.db, 'feed/crm', 'beginning');
    await database.db.query(
      `insert into reprise.parked
         (consumer, generation, entity_type, entity_id, from_offset, event_id, error, fingerprint, attempts)
       values ('feed/crm', 0, 'order', '1', 1, gen_random_uuid(), 'no', 'f', 1)`,
    );
    await database.db.query('update reprise.partitions set head = 3 where partition < 2');
    await database.db.query(`update reprise.checkpoints set status = 'parked-full' where partition = 1`);
    expect(run('feed', 'ls')).toEqual({
      status: 0,
      told: { feeds: [{ feed: 'crm', status: 'parked-full', lag_events: 6, lag_seconds: null, parked: 1 }] },
    });
    expect(run('feed', 'rm', 'crm')).toMatchObject({ status: 2, told: { error: { code: 'not_confirmed' } } });
    expect(run('feed', 'rm', 'crm', '--yes')).toEqual({ status: 0, told: { removed: 'crm', parked: 1 } });
    expect(run('parked', 'ls')).toEqual({ status: 0, told: { parked: [] } });
    expect(run('feed', 'rm', 'crm', '--yes')).toMatchObject({ status: 1, told: { error: { code: 'no_feed' } } });
  } finally {
    await database.drop();
  }
}, 60_000);

test('pages are found by words, without Temporal', async () => {
  const database = await testDatabase();
  const run = (...args: string[]) => reprise(['search', ...args], { DATABASE_URL: database.url });
  try {
    await database.db.query(
      `insert into read.product_search (product_id, title, body, tags, language, version)
       values ('1', 'Chai <b>', E'Tea & \\x1b[2J milk', '{}', 'english', 1), ('2', 'Chang', '', '{}', 'english', 1)`,
    );
    const { status, stdout } = run('tea', 'cha', '--json');
    expect({ status, told: JSON.parse(stdout) as unknown }).toMatchObject({
      status: 0,
      told: { hits: [{ key: '1', title: 'Chai <b>', highlights: { title: '<mark>Chai</mark> &lt;b&gt;' } }] },
    });
    expect(run('cha', '--limit', '1', '--in', 'product_search', '--language', 'english').stdout).toMatch(/\*Cha/);
    expect(run('tea').stdout).toMatch(/1 .* Chai <b> +\*Tea\* & \[2J milk/);
    expect(run('coffee').stdout).toBe('(none)\n');
  } finally {
    await database.drop();
  }
}, 60_000);

test.each(['not-a-url', 'mysql://me:sesame@host/x', 'postgres://'])(
  'DATABASE_URL=%s is named, and not shown',
  (url) => {
    const { status, stderr } = reprise(['projection', 'ls'], { DATABASE_URL: url, DATABASE_URL_READ: url });
    expect({ status, stderr }).toEqual({
      status: 2,
      stderr: expect.stringContaining('DATABASE_URL, DATABASE_URL_READ: not the address') as string,
    });
    expect(stderr).not.toContain('sesame');
  },
);

test('start refuses what is configured wrong before it starts anything, and tells why no demo is played', () => {
  const folder = join(project, 'with-demo');
  mkdirSync(folder);
  const manifest = { model: join(ROOT, 'shop/model.ts'), demo: join(ROOT, 'shop/northwind/demo.ts') };
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ reprise: manifest }));
  const run = (url: string, ...args: string[]) =>
    reprise(['start', ...args], { DATABASE_URL: url, TEMPORAL_ADDRESS: '127.0.0.1:1' }, folder);
  expect(run('foo')).toMatchObject({ status: 2, stderr: expect.stringContaining('DATABASE_URL: not the') as string });
  expect(run('postgres://x@127.0.0.1:1/mine', '--demo-into', 'your')).toMatchObject({
    status: 2,
    stderr: expect.stringMatching(/--demo-into your is not what is configured: mine, default/) as string,
  });
  expect(existsSync(join(folder, '.reprise'))).toBe(false);
  const { status, stderr } = run('postgres://x@127.0.0.1:1/mine');
  expect({ status, stderr }).toEqual({
    status: 1,
    stderr: expect.stringMatching(/--demo-into mine,default/) as string,
  });
}, 60_000);

test('a package.json that is no JSON is named', () => {
  const file = join(project, 'broken', 'package.json');
  mkdirSync(join(project, 'broken'));
  writeFileSync(file, '{"reprise":');
  const { status, stderr } = reprise(['projection', 'ls'], {}, join(project, 'broken'));
  expect({ status, stderr }).toEqual({
    status: 2,
    stderr: expect.stringContaining(`${file} cannot be read`) as string,
  });
});

test('no worker starts on tables of another version than its code', async () => {
  const database = await testDatabase();
  const run = () =>
    reprise(['worker', 'entity'], { DATABASE_URL: database.url, TEMPORAL_ADDRESS: required('REPRISE_TEST_TEMPORAL') })
      .stderr;
  try {
    const { rows } = await database.db.query<{ name: string }>(
      'delete from reprise.migrations where id = (select max(id) from reprise.migrations) returning name',
    );
    expect(run()).toMatch(new RegExp(`lacks ${rows[0]?.name ?? '?'} \\(not_migrated\\)\n.*reprise migrate`));
    await database.db.query("insert into reprise.migrations (id, name, checksum) values (9999, '9999_future', 'x')");
    expect(run()).toMatch(/migrated by a newer Reprise/);
  } finally {
    await database.drop();
  }
}, 60_000);

test('a Temporal that does not answer is named by its address', () => {
  const { status, stderr } = reprise(['worker', 'entity'], {
    DATABASE_URL: 'postgres://me:sesame@127.0.0.1:1/x',
    TEMPORAL_ADDRESS: '127.0.0.1:1',
  });
  expect({ status, stderr }).toEqual({
    status: 1,
    stderr: expect.stringContaining('127.0.0.1:1 (unreachable)') as string,
  });
  expect(stderr).not.toMatch(/sesame|tonic|\n\s+at /);
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

test.each([
  [['nonsense', '--json'], /^unknown command 'nonsense'/],
  [['entity', 'show', 'order', '--json'], /^missing required argument 'id'/],
  [['start', '--json', '--nonsense'], /^unknown option '--nonsense'/],
  [['entity', '--json'], /./],
])('--json tells a wrong call as one object: %j', (args, message) => {
  const { status, stdout } = reprise(args);
  expect({ status, told: JSON.parse(stdout) as unknown }).toEqual({
    status: 2,
    told: {
      error: { code: 'usage', message: expect.stringMatching(message) as string, next: expect.any(String) as string },
    },
  });
});

test('doctor --json tells an unhealthy system as one object, and ends with 1', () => {
  const { status, stdout } = reprise(['doctor', '--json'], {
    DATABASE_URL: 'postgres://me:sesame@127.0.0.1:1/x',
    TEMPORAL_ADDRESS: '127.0.0.1:1',
  });
  expect(status).toBe(1);
  expect(JSON.parse(stdout)).toMatchObject({ healthy: false });
  expect(stdout).not.toContain('sesame');
}, 60_000);

test('reset deletes what start keeps, tells what that was, and leaves servers of tests and benches alone', () => {
  const dir = join(project, '.reprise');
  for (const name of ['test', 'bench-relay', 'postgres', 'logs']) mkdirSync(join(dir, name), { recursive: true });
  expect(reprise(['reset', '--json'])).toMatchObject({ status: 2, stdout: expect.stringContaining('logs') as string });
  const { status, stdout } = reprise(['reset', '--yes', '--json']);
  expect({ status, told: JSON.parse(stdout) as unknown }).toEqual({
    status: 0,
    told: { deleted: dir, entries: ['logs', 'postgres'], kept: ['bench-relay', 'test'] },
  });
  expect(readdirSync(dir).sort()).toEqual(['bench-relay', 'test']);
  expect(reprise(['reset', '--yes']).stdout).toMatch(/nothing to delete/);
  rmSync(dir, { recursive: true });
  expect(reprise(['reset', '--yes']).stdout).toMatch(/nothing to delete/);
  expect(existsSync(dir)).toBe(false);
});

test('help is help, not an error', () => {
  expect(reprise(['--help'])).toMatchObject({ status: 0, stdout: expect.stringContaining('doctor') as string });
});

test('what reached the outside is listed from its journals, and counted', () => {
  const outside = join(project, '.reprise', 'outside');
  const told = (...args: string[]) => JSON.parse(reprise(['effects', 'ls', '--json', ...args]).stdout) as unknown;
  expect(told()).toEqual({ effects: [], totals: [] });
  mkdirSync(outside, { recursive: true });
  const line = (at: string, call: string, key: string, outcome: string) =>
    `${JSON.stringify({ at, call, key, bodyHash: 'a'.repeat(64), outcome, more: 1 })}\n`;
  writeFileSync(
    join(outside, 'provider.ndjson'),
    line('2026-01-01T00:00:01Z', 'capture', 'k1', 'executed') +
      line('2026-01-01T00:00:03Z', 'capture', 'k1', 'repeat') +
      line('2026-01-01T00:00:04Z', 'capture', 'k2', 'declined') +
      '{"at":"torn',
  );
  writeFileSync(join(outside, 'mail.ndjson'), line('2026-01-01T00:00:02Z', 'mail', '<m\x1b@x>', 'executed'));
  expect(told()).toMatchObject({
    effects: [
      { service: 'provider', call: 'capture', key: 'k1', outcome: 'executed', bodyHash: 'a'.repeat(64) },
      { service: 'mail', call: 'mail', key: '<m\x1b@x>' },
      { outcome: 'repeat' },
      { outcome: 'declined' },
    ],
    totals: [
      { call: 'capture', requests: 3, executed: 1, repeats: 1, executed_twice: 0 },
      { call: 'mail', requests: 1, executed: 1, repeats: 0, executed_twice: 0 },
    ],
  });
  expect(told('--key', 'k1')).toMatchObject({ effects: [{}, {}], totals: [{ call: 'capture', requests: 2 }] });
  const shown = reprise(['effects', 'ls']).stdout;
  expect(shown).toMatch(/capture +3 +1 +1 +0\n/);
  expect(shown).toContain('<m@x>');
  writeFileSync(join(outside, 'mail.ndjson'), 'no call\n');
  expect(reprise(['effects', 'ls'])).toMatchObject({
    status: 1,
    stderr: expect.stringMatching(/mail\.ndjson: line 1 is not a call/) as string,
  });
  rmSync(outside, { recursive: true });
});
