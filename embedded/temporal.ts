import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Connection } from '@temporalio/client';
import { msToTs } from '@temporalio/common/lib/time';
import { takeLock } from './lock';
import { freePort } from './ports';
import { gone, isAlive, isListening, isRunningOn, signal } from './process';
import { findTemporalCli } from './temporal-cli';

export interface TemporalOptions {
  /** Keeps the database file and the log; made when missing. One process at a time keeps it. */
  readonly dir: string;
  readonly namespace?: string;
  /** Preferred. Default 7233. */
  readonly port?: number;
  readonly log?: (line: string) => void;
}

export interface RunningTemporal {
  readonly address: string;
  readonly uiUrl: string;
  readonly namespace: string;
  readonly pid: number;
  /** It was already running: left behind by a process that crashed. */
  readonly adopted: boolean;
  readonly stop: () => Promise<void>;
}

interface Left {
  readonly pid: number;
  readonly address: string;
  readonly uiUrl: string;
}

const PORT_DEFAULT = 7233;
const UI_PORT_DEFAULT = 8233;
const METRICS_PORT_DEFAULT = 7234;
const PORTS_TRIED_MAX = 3;
const READY_MS_MAX = 60_000;
const ANSWER_MS_MAX = 5_000;
const STOP_MS_MAX = 20_000;
const POLL_MS = 100;
const RETENTION_DAYS = 30;
const DAY_SECONDS = 86_400;

const SERVER_ARGS = [
  // With SQLite's own pragmas 800 new workflows at 32 in flight collapsed to 9/s.
  ...['journal_mode=WAL', 'synchronous=NORMAL'].flatMap((pragma) => ['--sqlite-pragma', pragma]),
  // Past the default of 10 a refused update throws away the workflow's running task; we coalesce, others may not.
  ...['--dynamic-config-value', 'history.maxInFlightUpdates=1000'],
  ...['--log-level', 'error'],
];

/**
 * Starts a local Temporal server with UI and a database file, or adopts the one a crash left; detached from Ctrl-C.
 * Throws `InUse` when another process keeps the folder.
 */
export async function startTemporal(options: TemporalOptions): Promise<RunningTemporal> {
  const dir = resolve(options.dir);
  const namespace = options.namespace ?? 'default';
  const unlock = takeLock(dir);
  try {
    const left = readLeft(dir);
    if (left && isRunningOn(left.pid, databaseFile(dir))) {
      if (await comesUp(left, namespace)) return running(dir, left, namespace, true, unlock);
      await end(left.pid, dir);
    }
    const cli = await findTemporalCli(options.log);
    return running(dir, await launch(cli, dir, namespace, options), namespace, false, unlock);
  } catch (error) {
    unlock();
    throw error;
  }
}

/** Ends a server that a crash left running on this folder: without its files nobody could find it any more. */
export async function endLeftTemporal(folder: string): Promise<void> {
  const dir = resolve(folder);
  await end(readLeft(dir)?.pid ?? 0, dir);
}

/** Another starter may take the port between our look and the server's; then the next one is tried. */
async function launch(cli: string, dir: string, namespace: string, options: TemporalOptions): Promise<Left> {
  for (let attempt = 1; ; attempt++) {
    const started = await spawnServer(cli, dir, namespace, options);
    if (await comesUp(started, namespace)) return started;
    const died = !isAlive(started.pid);
    await end(started.pid, dir);
    if (!died || attempt === PORTS_TRIED_MAX) {
      throw new Error(`Temporal did not come up on ${started.address}. Its log says why: ${logFileOf(dir)}`);
    }
  }
}

async function spawnServer(
  cli: string,
  dir: string,
  namespace: string,
  { port: preferred = PORT_DEFAULT, log = () => undefined }: TemporalOptions,
): Promise<Left> {
  const port = await freePort(preferred);
  const uiPort = await freePort(UI_PORT_DEFAULT);
  const metricsPort = await freePort(METRICS_PORT_DEFAULT);
  log(`starting Temporal on port ${port}, UI on ${uiPort}`);
  const logFile = openSync(logFileOf(dir), 'a');
  const child = spawn(
    cli,
    [
      ...['server', 'start-dev', '--ip', '127.0.0.1', '--port', String(port)],
      ...['--ui-ip', '127.0.0.1', '--ui-port', String(uiPort), '--metrics-port', String(metricsPort)],
      ...['--namespace', namespace, '--db-filename', databaseFile(dir), ...SERVER_ARGS],
    ],
    { detached: true, stdio: ['ignore', logFile, logFile], cwd: dir },
  );
  closeSync(logFile);
  child.unref();
  child.on('error', () => undefined); // told by `comesUp`, which finds no process
  const started = { pid: child.pid ?? 0, address: `127.0.0.1:${port}`, uiUrl: `http://127.0.0.1:${uiPort}` };
  writeFileSync(leftFile(dir), JSON.stringify(started));
  return started;
}

/** Waits until the server answers, is ours, and keeps closed runs; false when it died or did not within the bound. */
async function comesUp({ pid, address }: Left, namespace: string): Promise<boolean> {
  const port = Number(address.split(':')[1]);
  for (const until = Date.now() + READY_MS_MAX; Date.now() < until;) {
    // What answers on the port may be another checkout's server, while ours is about to find the port taken.
    if ((await answers(address, namespace)) && isListening(pid, port)) return true;
    if (!isAlive(pid)) return false;
    await new Promise((done) => setTimeout(done, POLL_MS));
  }
  return false;
}

/** True once the server answers and keeps the namespace's closed runs for 30 days (a new one: 1). */
async function answers(address: string, namespace: string): Promise<boolean> {
  try {
    // Without retries: it is asked again, and a retry's timer must not outlive the connection.
    const connection = await Connection.connect({ address, connectTimeout: 2_000, interceptors: [] });
    try {
      await connection.withDeadline(Date.now() + ANSWER_MS_MAX, () => keepClosedRuns(connection, namespace));
      return true;
    } finally {
      await connection.close();
    }
  } catch {
    return false;
  }
}

async function keepClosedRuns(connection: Connection, namespace: string): Promise<void> {
  const seconds = RETENTION_DAYS * DAY_SECONDS;
  const { config } = await connection.workflowService.describeNamespace({ namespace });
  if (Number(config?.workflowExecutionRetentionTtl?.seconds ?? 0) >= seconds) return;
  await connection.workflowService.updateNamespace({
    namespace,
    config: { workflowExecutionRetentionTtl: msToTs(seconds * 1000) },
  });
}

function running(
  dir: string,
  { pid, address, uiUrl }: Left,
  namespace: string,
  adopted: boolean,
  unlock: () => void,
): RunningTemporal {
  return {
    address,
    uiUrl,
    namespace,
    pid,
    adopted,
    stop: async () => {
      await end(pid, dir);
      rmSync(leftFile(dir), { force: true });
      unlock();
    },
  };
}

async function end(pid: number, dir: string): Promise<void> {
  for (const how of ['SIGINT', 'SIGKILL'] as const) {
    if (!isRunningOn(pid, databaseFile(dir))) return;
    signal(pid, how);
    if (await gone(pid, STOP_MS_MAX)) return;
  }
  throw new Error(`Temporal (process ${pid}, data in ${dir}) does not stop: end it by hand`);
}

const databaseFile = (dir: string): string => join(dir, 'temporal.db');
const logFileOf = (dir: string): string => join(dir, 'temporal.log');
const leftFile = (dir: string): string => join(dir, 'temporal.pid.json');

function readLeft(dir: string): Left | null {
  try {
    return JSON.parse(readFileSync(leftFile(dir), 'utf8')) as Left;
  } catch {
    return null;
  }
}
