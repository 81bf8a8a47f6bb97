import { spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Client } from 'pg';
import { initialize } from './initdb';
import { takeLock } from './lock';
import { freePort, isFree } from './ports';
import { serverUser, type ServerUser } from './postgres-binaries';
import { dataMovedTo, preparePlace, type Place } from './postgres-folder';
import { gone, isAlive, isRunningOn, signal } from './process';

export interface PostgresOptions {
  /** Keeps the data, the password and the log; made when missing. One process at a time keeps it. */
  readonly dir: string;
  /** Preferred. Default: the one of the last time, else 5432. */
  readonly port?: number;
  readonly log?: (line: string) => void;
  /** More settings, as `postgres -c`. */
  readonly settings?: Readonly<Record<string, string>>;
}

export interface RunningPostgres {
  /** The owner's login to database `reprise`. */
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  /** It was already running: left behind by a process that crashed. */
  readonly adopted: boolean;
  readonly stop: () => Promise<void>;
}

const OWNER = 'reprise';
const DATABASE = 'reprise';
const PORT_DEFAULT = 5432;
const PORTS_TRIED_MAX = 3;
const ORPHANS_HOLD = /shared memory block .* is still in use|lock file "postmaster.pid" already exists/;
const ORPHANS_MS_MAX = 15_000;
const ORPHANS_POLL_MS = 500;
const READY_MS_MAX = 30_000;
// Replaying the log after a crash takes as long as it takes; to interrupt it is to begin again.
const RECOVERY_MS_MAX = 10 * 60_000;
const QUERY_MS_MAX = 10_000;
const STOP_MS_MAX = 30_000;
const POLL_MS = 50;

// Beside PostgreSQL's defaults: room for our roles and for a developer's tools; UTC, so that text is the same anywhere.
const SETTINGS = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  max_connections: '200',
  shared_buffers: '256MB',
  max_wal_size: '2GB',
  timezone: 'UTC',
  log_timezone: 'UTC',
  logging_collector: 'off',
};

/**
 * Starts a PostgreSQL of our own, or adopts the one an earlier crash left; detached, so that Ctrl-C does not reach it.
 * Throws `InUse` when another process keeps the folder.
 */
export async function startPostgres(options: PostgresOptions): Promise<RunningPostgres> {
  const dir = resolve(options.dir);
  const unlock = takeLock(dir);
  try {
    const user = serverUser();
    const place = preparePlace(dir, user);
    const orphan = await adopt(place, options);
    if (orphan) return running(place, orphan, true, unlock);
    if (!existsSync(join(place.data, 'PG_VERSION'))) {
      options.log?.('making a PostgreSQL cluster');
      await initialize(OWNER, place, user);
    }
    return running(place, await launch(dir, place, user, options), false, unlock);
  } catch (error) {
    unlock();
    throw error;
  }
}

/** Deletes a folder of ours with its data, wherever that lies; a server that a crash left on it is stopped first. */
export async function removePostgres(folder: string): Promise<void> {
  const dir = resolve(folder);
  const unlock = takeLock(dir);
  try {
    const base = dataMovedTo(dir) ?? dir;
    const { pid } = readPidFile(join(base, 'data')) ?? { pid: 0 };
    await stopServer(pid, join(base, 'data'));
    rmSync(base, { recursive: true, force: true });
    rmSync(dir, { recursive: true, force: true });
  } finally {
    unlock();
  }
}

interface Server {
  readonly pid: number;
  readonly port: number;
}

/**
 * Another starter may take the port between our look and the server's; then the next one is tried. The children of a server
 * that was killed live on for a moment, and hold its memory; they are waited for.
 */
async function launch(
  dir: string,
  place: Place,
  user: ServerUser | null,
  { port: preferred, log, settings = {} }: PostgresOptions,
): Promise<Server> {
  const waitUntil = Date.now() + ORPHANS_MS_MAX;
  for (let attempt = 1; ; attempt++) {
    const port = await freePort(preferred ?? lastPort(dir) ?? PORT_DEFAULT);
    const logged = existsSync(place.logFile) ? statSync(place.logFile).size : 0;
    log?.(`starting PostgreSQL on port ${port}`);
    const server = { pid: spawnServer(place, port, user, settings), port };
    if (await comesUp(server, place, log)) {
      writeFileSync(join(dir, 'port'), String(port));
      return server;
    }
    const lostPort = !isAlive(server.pid) && !(await isFree(port));
    await stopServer(server.pid, place.data);
    if (ORPHANS_HOLD.test(readFileSync(place.logFile, 'utf8').slice(logged)) && Date.now() < waitUntil) {
      await new Promise((done) => setTimeout(done, ORPHANS_POLL_MS));
      continue;
    }
    if (!lostPort || attempt === PORTS_TRIED_MAX) {
      throw new Error(`PostgreSQL did not come up on port ${port}. Its log says why: ${place.logFile}`);
    }
  }
}

/** Tools and bookmarks keep working when the port stays. */
function lastPort(dir: string): number | undefined {
  const file = join(dir, 'port');
  const port = existsSync(file) ? Number(readFileSync(file, 'utf8')) : NaN;
  return Number.isInteger(port) && port > 0 && port < 65_536 ? port : undefined;
}

function spawnServer(
  place: Place,
  port: number,
  user: ServerUser | null,
  more: Readonly<Record<string, string>>,
): number {
  const settings = Object.entries({ ...SETTINGS, port: String(port), ...more });
  const log = openSync(place.logFile, 'a');
  const child = spawn(
    join(place.binaries, 'bin', 'postgres'),
    ['-D', place.data, ...settings.flatMap(([name, value]) => ['-c', `${name}=${value}`])],
    { ...user, cwd: '/', detached: true, stdio: ['ignore', log, log], env: { PATH: process.env['PATH'], TZ: 'UTC' } },
  );
  closeSync(log);
  child.unref();
  child.on('error', () => undefined); // told by `comesUp`, which finds no process
  return child.pid ?? 0;
}

/** Waits until a server answers and has our database; false when it died or did not within the bound. */
async function comesUp({ pid, port }: Server, { password }: Place, log: PostgresOptions['log']): Promise<boolean> {
  const startedAt = Date.now();
  let boundMs = READY_MS_MAX;
  while (Date.now() - startedAt < boundMs) {
    const state = await ask(port, password);
    if (state === 'up') return true;
    if (!isAlive(pid)) return false;
    if (state === 'starting' && Date.now() - startedAt > READY_MS_MAX / 2 && boundMs < RECOVERY_MS_MAX) {
      boundMs = RECOVERY_MS_MAX;
      log?.('PostgreSQL is recovering from a crash; this takes as long as its log is');
    }
    await new Promise((done) => setTimeout(done, POLL_MS));
  }
  return false;
}

// SQLSTATE of a server that is up and takes no connections yet.
const CANNOT_CONNECT_NOW = '57P03';

async function ask(port: number, password: string): Promise<'up' | 'starting' | 'silent'> {
  const client = new Client({
    connectionString: urlOf(port, password, 'postgres'),
    connectionTimeoutMillis: 2_000,
    query_timeout: QUERY_MS_MAX,
  });
  client.on('error', () => undefined);
  try {
    await client.connect();
    const { rowCount } = await client.query('select from pg_database where datname = $1::text', [DATABASE]);
    if (rowCount === 0) await client.query(`create database ${DATABASE}`);
    return 'up';
  } catch (error) {
    return (error as { code?: string }).code === CANNOT_CONNECT_NOW ? 'starting' : 'silent';
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** A server that an earlier crash left running on this data, by its pid file. */
async function adopt(place: Place, { log }: PostgresOptions): Promise<Server | null> {
  const left = readPidFile(place.data);
  if (!left || !isAlive(left.pid)) return null; // a stale file is PostgreSQL's to remove
  if (!isRunningOn(left.pid, place.data)) {
    disownPidFile(place.data);
    return null;
  }
  if (await comesUp(left, place, log)) return left;
  await stopServer(left.pid, place.data);
  return null;
}

const pidFile = (data: string): string => join(data, 'postmaster.pid');

function readPidFile(data: string): Server | null {
  if (!existsSync(pidFile(data))) return null;
  const [pid = 0, , , port = 0] = readFileSync(pidFile(data), 'utf8').split('\n').map(Number);
  return { pid, port };
}

/**
 * The pid is another process's by now, and PostgreSQL would refuse to start while that lives. It takes its parent's pid for
 * stale, and still looks for users of its shared memory, which it would not without the file.
 */
function disownPidFile(data: string): void {
  writeFileSync(pidFile(data), readFileSync(pidFile(data), 'utf8').replace(/^\d+/, String(process.pid)));
}

function running(place: Place, { pid, port }: Server, adopted: boolean, unlock: () => void): RunningPostgres {
  return {
    url: urlOf(port, place.password, DATABASE),
    port,
    pid,
    adopted,
    stop: async () => {
      await stopServer(pid, place.data);
      unlock();
    },
  };
}

/** First fast: open transactions are rolled back, a checkpoint is written; then at once. */
async function stopServer(pid: number, data: string): Promise<void> {
  for (const how of ['SIGINT', 'SIGQUIT'] as const) {
    if (!isRunningOn(pid, data)) return;
    signal(pid, how);
    if (await gone(pid, STOP_MS_MAX)) return;
  }
  throw new Error(`PostgreSQL (process ${pid}, data in ${data}) does not stop: end it by hand`);
}

const urlOf = (port: number, password: string, database: string): string =>
  `postgres://${OWNER}:${password}@127.0.0.1:${port}/${database}`;
