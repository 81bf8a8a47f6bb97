import { spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { isAlive } from './process';
import { readEndpoints, removeEndpoints, writeEndpoints, type Endpoints } from './endpoints';
import { InUse, takeLock } from './lock';
import { freePort } from './ports';
import { removePostgres, startPostgres } from './postgres';
import { findTemporalCli } from './temporal-cli';

// What a crash of a starter leaves: the server, and a lock whose holder is gone.
const crashOf = (pid: number) => {
  expect(readFileSync(join(dir, 'lock'), 'utf8')).toMatch(new RegExp(`^${pid} `));
  writeFileSync(join(dir, 'lock'), `${pid} 1`);
};

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'reprise-embedded-'));
  chmodSync(dir, 0o755);
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

test('PostgreSQL starts, is adopted when left behind, keeps its data and its port, and stops', async () => {
  const first = await startPostgres({ dir, port: 54_390 });
  const query = async (text: string) => {
    const client = new Client({ connectionString: first.url });
    await client.connect();
    const { rows } = await client.query<Record<string, unknown>>(text);
    await client.end();
    return rows;
  };
  await query(`create table t as select 'México' as city`);
  await expect(startPostgres({ dir })).rejects.toThrow(InUse);
  crashOf(process.pid);
  const adopted = await startPostgres({ dir });
  expect(adopted).toMatchObject({ adopted: true, pid: first.pid, url: first.url });
  await adopted.stop();
  expect(isAlive(first.pid)).toBe(false);

  const again = await startPostgres({ dir });
  expect(again).toMatchObject({ adopted: false, port: first.port });
  expect(await query(`select city, length(city) as letters, current_setting('fsync') as fsync from t`)).toEqual([
    { city: 'México', letters: 6, fsync: 'on' },
  ]);
  await again.stop();
  await again.stop();
});

test('a pid file that names another process by now neither ends that one nor keeps PostgreSQL from starting', async () => {
  const first = await startPostgres({ dir, port: 54_392 });
  const pidFile = join(dir, 'data', 'postmaster.pid');
  const left = readFileSync(pidFile, 'utf8');
  await first.stop();
  const stranger = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)', 'postgres'], { stdio: 'ignore' });
  writeFileSync(pidFile, left.replace(/^\d+/, String(stranger.pid)));
  const again = await startPostgres({ dir });
  expect(again.adopted).toBe(false);
  expect(stranger.exitCode ?? stranger.signalCode).toBeNull();
  await again.stop();
  stranger.kill();
});

test('what a killed initdb left is no cluster', async () => {
  mkdirSync(join(dir, 'data.new-1'));
  writeFileSync(join(dir, 'data.new-1', 'PG_VERSION'), '15');
  const server = await startPostgres({ dir, port: 54_393 });
  expect(existsSync(join(dir, 'data.new-1'))).toBe(false);
  await removeWhileKept();
  await server.stop();
  await removePostgres(dir);
  expect(existsSync(dir)).toBe(false);

  async function removeWhileKept() {
    await expect(removePostgres(dir)).rejects.toThrow(InUse);
  }
});

test('a lock holds while its process lives, and only one of many gets a dead one', () => {
  const unlock = takeLock(dir);
  expect(() => takeLock(dir)).toThrow(new RegExp(`in use by process ${process.pid}`));
  unlock();
  takeLock(dir)();
  writeFileSync(join(dir, 'lock'), `${process.pid} 1`); // this pid, of another process
  const taken = takeLock(dir);
  expect(() => takeLock(dir)).toThrow(InUse);
  taken();
  expect(readdirSync(dir)).toEqual([]);
});

test('a taken port is left alone', async () => {
  const server = createServer();
  const port = await freePort(54_391);
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  expect(await freePort(port)).not.toBe(port);
  await new Promise((resolve) => server.close(resolve));
});

test('endpoints are whole or not there, and readable by their owner only', () => {
  const endpoints: Endpoints = {
    databaseUrl: 'postgres://x',
    temporalAddress: '127.0.0.1:7233',
    temporalNamespace: 'default',
    temporalUi: null,
    metrics: {},
    owns: { database: true, temporal: true },
    pid: process.pid,
    startedAt: '2026-01-01T00:00:00Z',
  };
  expect(readEndpoints(dir)).toBeNull();
  writeEndpoints(dir, endpoints);
  expect(readEndpoints(dir)).toEqual(endpoints);
  writeEndpoints(dir, { ...endpoints, pid: 1 });
  removeEndpoints(dir); // not ours
  expect(readEndpoints(dir)?.pid).toBe(1);
  writeFileSync(join(dir, 'endpoints.json'), '{"datab');
  expect(readEndpoints(dir)).toBeNull();
  removeEndpoints(dir);
});

describe('the Temporal binary', () => {
  const before = { ...process.env };
  afterEach(() => {
    for (const name of ['TEMPORAL_CLI', 'PATH', 'REPRISE_CACHE']) {
      if (before[name] === undefined) delete process.env[name];
      else process.env[name] = before[name];
    }
  });
  const fake = (name: string, server: string) => {
    const file = join(dir, name);
    writeFileSync(file, `#!/bin/sh\necho "temporal version 1.0.0 (Server ${server}, UI 2.0.0)"\n`, { mode: 0o755 });
    return file;
  };

  test('TEMPORAL_CLI is first', async () => {
    process.env['TEMPORAL_CLI'] = fake('mine', '1.30.0');
    expect(await findTemporalCli()).toBe(process.env['TEMPORAL_CLI']);
  });
  test('one that is too old is passed over for the next way', async () => {
    process.env['TEMPORAL_CLI'] = fake('old', '1.28.3');
    const onPath = fake('temporal', '1.29.0');
    process.env['PATH'] = `${dir}:${before['PATH']}`;
    expect(await findTemporalCli()).toBe(onPath);
  });
});
