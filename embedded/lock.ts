import { randomBytes } from 'node:crypto';
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isAlive, startOf } from './process';

/** Somebody else keeps this folder. */
export class InUse extends Error {
  override readonly name = 'InUse';
  constructor(
    readonly dir: string,
    readonly pid: number,
  ) {
    super(`${dir} is in use by process ${pid}. Stop it first, or use another checkout: two run side by side.`);
  }
}

// A dead holder's lock is taken away once; whoever was quicker then holds it.
const ATTEMPTS_MAX = 2;

/**
 * Keeps a folder for this process until the returned function is called, or the process ends. Throws `InUse`.
 * The holder is named by pid and start time, so that a pid given to another process holds nothing.
 */
export function takeLock(dir: string): () => void {
  mkdirSync(dir, { recursive: true });
  const file = join(dir, 'lock');
  const mine = `${process.pid} ${startOf(process.pid) ?? ''}`;
  const aside = `${file}.${randomBytes(6).toString('hex')}`;
  writeFileSync(aside, mine);
  try {
    for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
      if (publish(aside, file)) return () => release(file, mine);
      const held = read(file);
      if (held === null) continue;
      const pid = holder(held);
      if (pid !== null) throw new InUse(dir, pid);
      takeAway(file, held);
    }
    throw new InUse(dir, holder(read(file) ?? '') ?? 0);
  } finally {
    rmSync(aside, { force: true });
  }
}

/** A link is made whole or not at all, and never over another. */
export function publish(aside: string, file: string): boolean {
  try {
    linkSync(aside, file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** The living process a lock names, or null. */
function holder(held: string): number | null {
  const [pid, ...startedAt] = held.split(' ');
  return isAlive(Number(pid)) && startOf(Number(pid)) === startedAt.join(' ') ? Number(pid) : null;
}

/** Removes a dead holder's lock; one that somebody else took meanwhile is given back. */
function takeAway(file: string, dead: string): void {
  const away = `${file}.${randomBytes(6).toString('hex')}`;
  try {
    renameSync(file, away);
  } catch {
    return; // gone already
  }
  if (read(away) !== dead) publish(away, file);
  rmSync(away, { force: true });
}

function release(file: string, mine: string): void {
  if (read(file) === mine) rmSync(file, { force: true });
}

function read(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return null;
  }
}
