import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Connection } from '@temporalio/client';
import { msToTs } from '@temporalio/common/lib/time';
import { gone, isAlive } from './alive';
import { freePort } from './ports';
import { findTemporalCli } from './temporal-cli';

export interface TemporalOptions {
  /** Keeps the database file and the log; made when missing. */
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
const READY_MS_MAX = 60_000;
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

/** Starts a local Temporal server with UI and a database file, or adopts the one a crash left; detached from Ctrl-C. */
export async function startTemporal(options: TemporalOptions): Promise<RunningTemporal> {
  const dir = resolve(options.dir);
  const namespace = options.namespace ?? 'default';
  mkdirSync(dir, { recursive: true });
  const left = readLeft(dir);
  if (left && isTemporal(left.pid) && (await answers(left.address))) return running(dir, left, namespace, true);
  if (left && isTemporal(left.pid)) await end(left.pid);
  const started = await spawnServer(dir, namespace, options);
  await ready(dir, started, namespace);
  return running(dir, started, namespace, false);
}

async function spawnServer(
  dir: string,
  namespace: string,
  { port: preferred = PORT_DEFAULT, log = () => undefined }: TemporalOptions,
): Promise<Left> {
  const cli = await findTemporalCli(log);
  const port = await freePort(preferred);
  const uiPort = await freePort(UI_PORT_DEFAULT);
  const metricsPort = await freePort(METRICS_PORT_DEFAULT);
  log(`starting Temporal on port ${port}, UI on ${uiPort}`);
  const logFile = openSync(join(dir, 'temporal.log'), 'a');
  const child = spawn(
    cli,
    [
      ...['server', 'start-dev', '--ip', '127.0.0.1', '--port', String(port)],
      ...['--ui-ip', '127.0.0.1', '--ui-port', String(uiPort), '--metrics-port', String(metricsPort)],
      ...['--namespace', namespace, '--db-filename', join(dir, 'temporal.db'), ...SERVER_ARGS],
    ],
    { detached: true, stdio: ['ignore', logFile, logFile], cwd: dir },
  );
  closeSync(logFile);
  child.unref();
  child.on('error', () => undefined); // told by `ready`, which finds no process
  const started = { pid: child.pid ?? 0, address: `127.0.0.1:${port}`, uiUrl: `http://127.0.0.1:${uiPort}` };
  writeFileSync(leftFile(dir), JSON.stringify(started));
  return started;
}

async function ready(dir: string, { pid, address }: Left, namespace: string): Promise<void> {
  for (const until = Date.now() + READY_MS_MAX; Date.now() < until;) {
    if (await answers(address, namespace)) return;
    if (!isAlive(pid)) break;
    await new Promise((done) => setTimeout(done, POLL_MS));
  }
  throw new Error(`Temporal did not come up on ${address}. Its log says why: ${join(dir, 'temporal.log')}`);
}

/** True once the server answers; with a namespace, once that is kept for 30 days (a new one: 1). */
async function answers(address: string, namespace?: string): Promise<boolean> {
  try {
    const connection = await Connection.connect({ address, connectTimeout: 2_000 });
    try {
      await connection.workflowService.getSystemInfo({});
      if (namespace) await keepClosedRuns(connection, namespace);
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

function running(dir: string, { pid, address, uiUrl }: Left, namespace: string, adopted: boolean): RunningTemporal {
  return {
    address,
    uiUrl,
    namespace,
    pid,
    adopted,
    stop: async () => {
      await end(pid);
      rmSync(leftFile(dir), { force: true });
    },
  };
}

async function end(pid: number): Promise<void> {
  if (!isAlive(pid)) return;
  process.kill(pid, 'SIGINT');
  if (await gone(pid, STOP_MS_MAX)) return;
  process.kill(pid, 'SIGKILL');
  await gone(pid, STOP_MS_MAX);
}

const leftFile = (dir: string): string => join(dir, 'temporal.pid.json');

function readLeft(dir: string): Left | null {
  try {
    return JSON.parse(readFileSync(leftFile(dir), 'utf8')) as Left;
  } catch {
    return null;
  }
}

/** A pid may have been given to another process since. Where /proc is not, a living pid is believed. */
function isTemporal(pid: number): boolean {
  if (!isAlive(pid)) return false;
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('start-dev');
  } catch {
    return process.platform !== 'linux';
  }
}
