import { fork, type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { median } from './measure';

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

/** Resident memory of a process in MiB. Linux only. */
function rssMb(child: ChildProcess): number {
  const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024;
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
