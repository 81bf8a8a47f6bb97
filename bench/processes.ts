import { fork, type ChildProcess } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
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
