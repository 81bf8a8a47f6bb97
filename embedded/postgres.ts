import { execFile, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  openSync,
  closeSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { gone, isAlive } from './alive';
import { freePort } from './ports';
import { canRead, postgresBinaries, serverUser, type ServerUser } from './postgres-binaries';

export interface PostgresOptions {
  /** Keeps the data, the password and the log; made when missing. */
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
const READY_MS_MAX = 30_000;
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

const run = promisify(execFile);

/** Starts a PostgreSQL of our own, or adopts the one an earlier crash left; detached, so that Ctrl-C does not reach it. */
export async function startPostgres(options: PostgresOptions): Promise<RunningPostgres> {
  const dir = resolve(options.dir);
  const user = serverUser();
  const place = prepareFolder(dir, user);
  const password = keepPassword(dir);
  const orphan = await adopt(place.data, password);
  if (orphan) return running(place.data, orphan.pid, orphan.port, password, true);
  if (!existsSync(join(place.data, 'PG_VERSION'))) {
    options.log?.('making a PostgreSQL cluster');
    await initialize(place, password, user);
  }
  const port = await freePort(options.port ?? lastPort(dir) ?? PORT_DEFAULT);
  writeFileSync(join(dir, 'port'), String(port));
  options.log?.(`starting PostgreSQL on port ${port}`);
  const pid = spawnServer(place, port, user, options.settings ?? {});
  await ready(place, pid, port, password);
  return running(place.data, pid, port, password, false);
}

interface Place {
  readonly data: string;
  readonly logFile: string;
  readonly binaries: string;
}

/** The data folder belongs to the server's user, and every folder above it must let that user through. */
function prepareFolder(dir: string, user: ServerUser | null): Place {
  mkdirSync(dir, { recursive: true });
  let base = dir;
  if (user && !canRead(dir, user)) {
    // A checkout under /root: the data lies in a folder that user can reach, and a note says where.
    base = join(tmpdir(), `reprise-data-${createHash('sha256').update(dir).digest('hex').slice(0, 16)}`);
    mkdirSync(base, { recursive: true, mode: 0o755 });
    writeFileSync(join(dir, 'moved-to'), `${base}\n`);
  }
  const data = join(base, 'data');
  mkdirSync(data, { recursive: true });
  if (user) chownSync(data, user.uid, user.gid);
  chmodSync(data, 0o700);
  return { data, logFile: join(dir, 'postgres.log'), binaries: postgresBinaries(user) };
}

/** Where the data lies when it could not lie in `dir`; null when it does. */
export function dataMovedTo(dir: string): string | null {
  const file = join(dir, 'moved-to');
  return existsSync(file) ? readFileSync(file, 'utf8').trim() : null;
}

/** Tools and bookmarks keep working when the port stays. */
function lastPort(dir: string): number | undefined {
  const file = join(dir, 'port');
  return existsSync(file) ? Number(readFileSync(file, 'utf8')) : undefined;
}

function keepPassword(dir: string): string {
  const file = join(dir, 'password');
  if (!existsSync(file)) writeFileSync(file, randomBytes(24).toString('base64url'), { mode: 0o600 });
  return readFileSync(file, 'utf8').trim();
}

/** UTF-8 and a fixed locale: sorting and case must not depend on the machine. */
async function initialize({ data, binaries }: Place, password: string, user: ServerUser | null): Promise<void> {
  const passwordFile = join(tmpdir(), `reprise-${randomBytes(8).toString('hex')}`);
  writeFileSync(passwordFile, password, { mode: 0o600 });
  if (user) chownSync(passwordFile, user.uid, user.gid);
  const initdb = (...locale: string[]) =>
    run(
      join(binaries, 'bin', 'initdb'),
      [
        ...[`--pgdata=${data}`, `--username=${OWNER}`, `--pwfile=${passwordFile}`],
        ...['--auth=scram-sha-256', '--encoding=UTF8', ...locale],
      ],
      { ...user, cwd: '/', env: { PATH: process.env['PATH'], TZ: 'UTC' } },
    );
  try {
    // Not every system has C.UTF-8; without it PostgreSQL still stores and compares UTF-8.
    await initdb('--locale=C', '--lc-ctype=C.UTF-8').catch(() => initdb('--locale=C'));
  } finally {
    rmSync(passwordFile, { force: true });
  }
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
  child.on('error', () => undefined); // told by `ready`, which finds no process
  return child.pid ?? 0;
}

async function ready({ logFile }: Place, pid: number, port: number, password: string): Promise<void> {
  for (const until = Date.now() + READY_MS_MAX; Date.now() < until;) {
    if (await ensureDatabase(port, password)) return;
    if (!isAlive(pid)) break;
    await new Promise((done) => setTimeout(done, POLL_MS));
  }
  throw new Error(`PostgreSQL did not come up on port ${port}. Its log says why: ${logFile}`);
}

/** True once the server answers and has our database. */
async function ensureDatabase(port: number, password: string): Promise<boolean> {
  const client = new Client({ connectionString: urlOf(port, password, 'postgres'), connectionTimeoutMillis: 2_000 });
  client.on('error', () => undefined);
  try {
    await client.connect();
    const { rowCount } = await client.query('select from pg_database where datname = $1::text', [DATABASE]);
    if (rowCount === 0) await client.query(`create database ${DATABASE}`);
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** A server that an earlier crash left running on this data, by its pid file; a stale file is PostgreSQL's to remove. */
async function adopt(data: string, password: string): Promise<{ pid: number; port: number } | null> {
  const file = join(data, 'postmaster.pid');
  if (!existsSync(file)) return null;
  const [pid = 0, , , port = 0] = readFileSync(file, 'utf8').split('\n').map(Number);
  if (!isAlive(pid)) return null;
  if (await ensureDatabase(port, password)) return { pid, port };
  // The pid was given to another process since, or the server no longer answers; it holds the data either way.
  if (isPostgres(pid)) {
    process.kill(pid, 'SIGQUIT');
    if (!(await gone(pid, STOP_MS_MAX)))
      throw new Error(`PostgreSQL (process ${pid}) holds ${data} and does not answer: end it by hand`);
  }
  return null;
}

function isPostgres(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('postgres');
  } catch {
    return false;
  }
}

function running(data: string, pid: number, port: number, password: string, adopted: boolean): RunningPostgres {
  return {
    url: urlOf(port, password, DATABASE),
    port,
    pid,
    adopted,
    stop: async () => {
      if (!isAlive(pid)) return;
      process.kill(pid, 'SIGINT'); // fast: open transactions are rolled back, a checkpoint is written
      if (await gone(pid, STOP_MS_MAX)) return;
      process.kill(pid, 'SIGQUIT');
      if (!(await gone(pid, STOP_MS_MAX)))
        throw new Error(`PostgreSQL (process ${pid}, data in ${data}) does not stop`);
    },
  };
}

const urlOf = (port: number, password: string, database: string): string =>
  `postgres://${OWNER}:${password}@127.0.0.1:${port}/${database}`;
