import { fork, type ChildProcess } from 'node:child_process';
import { createWriteStream, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { addMetrics } from '../../embedded/endpoints';
import type { WorkerReady } from '../commands/worker';
import type { Project } from '../context';
import { CliFailure } from '../failure';
import { metricsPortOf } from '../metrics-place';
import type { Output } from '../output';

export interface WorkerProcesses {
  /** Rejects when a worker keeps failing. */
  readonly failed: Promise<never>;
  /** Drains them all. */
  readonly stop: () => Promise<void>;
}

const ROLES = ['entity', 'consumers', 'reactions', 'replay', 'backfill'] as const;
type Role = (typeof ROLES)[number];
const READY_MS_MAX = 60_000;
const RESTARTS_MAX = 5;
const RESTART_DELAY_MS = 1_000;
// One that ran for longer did not die of what the restart before was for.
const STEADY_MS = 60_000;

// Longer than a worker's own grace time.
const DRAIN_MS_MAX = 20_000;

/** One process per role, as in production; one that dies is started again, a bounded number of times in a row. */
export async function startWorkers(project: Project, output: Output): Promise<WorkerProcesses> {
  const logs = join(project.dir, 'logs');
  mkdirSync(logs, { recursive: true });
  const children = new Map<string, ChildProcess>();
  const stopping = new AbortController();
  let fail: (error: unknown) => void = () => undefined;
  const failed = new Promise<never>((_, reject) => {
    fail = reject;
  });
  failed.catch(() => undefined);

  function spawn(role: Role): ChildProcess {
    const child = spawnWorker(project, role, join(logs, `worker-${role}.log`));
    children.set(role, child);
    child.once('message', ({ metrics }: WorkerReady) => addMetrics(project.dir, role, metrics));
    return child;
  }

  function keepRunning(role: Role, child: ChildProcess, restarts: number): void {
    const startedAt = Date.now();
    child.once('exit', (code, signal) => {
      if (stopping.signal.aborted) return;
      const inARow = Date.now() - startedAt > STEADY_MS ? 0 : restarts;
      if (inARow >= RESTARTS_MAX) return fail(gaveUp(role, logs, code ?? signal));
      output.note(`worker ${role} ended (${code ?? signal}); starting it again`);
      const timer = setTimeout(() => keepRunning(role, spawn(role), inARow + 1), RESTART_DELAY_MS);
      stopping.signal.addEventListener('abort', () => clearTimeout(timer));
    });
  }

  output.note('starting workers');
  const stop = async () => {
    stopping.abort();
    await Promise.all([...children.values()].map(drain));
  };
  try {
    const roles = ROLES.filter((role) => isNeeded(role, project));
    const first = roles.map((role) => ({ role, child: spawn(role) }));
    await Promise.all(first.map(({ role, child }) => ready(child, role, logs)));
    for (const { role, child } of first) keepRunning(role, child, 0);
  } catch (error) {
    await stop();
    throw error;
  }
  return { failed, stop };
}

/** A project without reactions, or without backfills, needs no process for them. */
const isNeeded = (role: Role, { reactionsFile, backfillsFile }: Project): boolean =>
  (role !== 'reactions' || reactionsFile !== null) && (role !== 'backfill' || backfillsFile !== null);

function spawnWorker(project: Project, role: Role, logFile: string): ChildProcess {
  const child = fork(process.argv[1] ?? '', ['worker', role], {
    cwd: project.root,
    env: { ...process.env, REPRISE_METRICS_PORT: metricsPortOf(ROLES.indexOf(role), process.env) },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    // Its own process group: Ctrl-C in a terminal reaches only us, and we stop them in order.
    detached: true,
  });
  const log = createWriteStream(logFile, { flags: 'a' });
  child.stdout?.pipe(log, { end: false });
  child.stderr?.pipe(log, { end: false });
  log.on('error', () => undefined); // a full disk must not end what can go on
  child.once('close', () => log.end());
  return child;
}

function ready(child: ChildProcess, role: string, logs: string): Promise<void> {
  return new Promise((resolveReady, reject) => {
    const timer = setTimeout(() => reject(notReady(role, logs)), READY_MS_MAX);
    const settle = (done: () => void) => {
      clearTimeout(timer);
      done();
    };
    child.once('message', () => settle(resolveReady));
    child.once('exit', () => settle(() => reject(notReady(role, logs))));
  });
}

async function drain(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise<void>((done) => child.once('exit', () => done()));
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), DRAIN_MS_MAX);
  await ended;
  clearTimeout(timer);
}

const notReady = (role: string, logs: string): CliFailure =>
  new CliFailure('worker_not_ready', `worker ${role} did not come up`, `Read ${join(logs, `worker-${role}.log`)}`);

const gaveUp = (role: string, logs: string, why: unknown): CliFailure =>
  new CliFailure(
    'worker_failing',
    `worker ${role} ended ${RESTARTS_MAX + 1} times, the last with ${String(why)}`,
    `Read ${join(logs, `worker-${role}.log`)}`,
  );
