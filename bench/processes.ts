import { fork, type ChildProcess } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { ROLES_IN_USE, roleUrl } from '../db/urls';
import { median } from './measure';
import type { BenchServers } from './servers';

const ROOT = resolve(__dirname, '..');

const RSS_READ_EVERY_MS = 200;

/** Starts a worker process of the bench and waits until it is ready. */
export function startProcess(
  file: string,
  args: readonly string[],
  env: Record<string, string>,
): Promise<ChildProcess> {
  const child = fork(join(__dirname, 'workers', file), args, {
    env: { ...process.env, ...env },
    execArgv: ['-r', 'tsx/cjs'],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  return new Promise((resolve, reject) => {
    child.once('message', () => resolve(child));
    child.once('exit', (code) => reject(new Error(`${file} ended with ${code} before it was ready`)));
  });
}

/** Resident memory of a process in MiB, as it is or the most it was. Linux only. */
function rssMb(child: ChildProcess, field: 'VmRSS' | 'VmHWM' = 'VmRSS'): number {
  const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
  return Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)?.[1] ?? 0) / 1024;
}

/** Watches resident memory while work is done; its median, since a reading by itself is a point of the collector's saw. */
export async function rssMbWhile(child: ChildProcess, work: () => Promise<unknown>): Promise<number> {
  const readings: number[] = [];
  const timer = setInterval(() => readings.push(rssMb(child)), RSS_READ_EVERY_MS);
  try {
    await work();
  } finally {
    clearInterval(timer);
  }
  return median(readings);
}

// As proc(5) has it: the kernel's high-water mark is put back to what is resident now.
const RESET_PEAK = '5';

/** The most memory a process had resident while work was done, by the kernel's own mark: no peak falls between readings. */
export async function peakRssMbWhile(child: ChildProcess, work: () => Promise<unknown>): Promise<number> {
  writeFileSync(`/proc/${child.pid}/clear_refs`, RESET_PEAK);
  await work();
  return rssMb(child, 'VmHWM');
}

/** What `reprise worker` finds servers of the bench by, with a login for each role. */
export function workersEnv({ databaseUrl, temporalAddress }: BenchServers, natsUrl?: string): NodeJS.ProcessEnv {
  const owner = { url: databaseUrl, owned: true };
  const logins = ROLES_IN_USE.map((role) => [`DATABASE_URL_${role.toUpperCase()}`, roleUrl(role, {}, owner).url]);
  return {
    ...process.env,
    ...Object.fromEntries(logins),
    DATABASE_URL: databaseUrl,
    TEMPORAL_ADDRESS: temporalAddress,
    REPRISE_METRICS_PORT: '0',
    ...(natsUrl ? { NATS_URL: natsUrl } : {}),
  };
}

/** `reprise worker <role>` as a process of its own; resolves when it works. */
export function startWorkerRole(role: string, env: NodeJS.ProcessEnv): Promise<ChildProcess> {
  const child = fork(join(ROOT, 'cli/bin.js'), ['worker', role], {
    cwd: ROOT,
    env,
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  return new Promise((ready, reject) => {
    child.once('message', () => ready(child));
    child.once('exit', (code) => reject(new Error(`worker ${role} ended with ${code} before it was ready`)));
  });
}

export async function stopWorker(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((done) => child.once('exit', done));
  child.kill('SIGTERM');
  await ended;
}
