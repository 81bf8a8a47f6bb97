import { readdirSync, readFileSync } from 'node:fs';

// USER_HZ, which Linux fixes for what /proc tells.
const TICKS_PER_SECOND = 100;

/**
 * CPU time these processes have used, in seconds. With `children`: also of those that run now, and of those that have
 * ended and were waited for. Linux only.
 */
export function cpuSeconds(pids: readonly number[], { children = false } = {}): number {
  const own = pids.map((pid) => statOf(pid));
  const ticks = own.reduce((sum, stat) => sum + stat.own + (children ? stat.ended : 0), 0);
  const ofChildren = children ? allPids().map(statIfAlive) : [];
  const alive = ofChildren.reduce((sum, stat) => (stat && pids.includes(stat.parent) ? sum + stat.own : sum), 0);
  return (ticks + alive) / TICKS_PER_SECOND;
}

interface Stat {
  readonly parent: number;
  /** Ticks in user and kernel mode, of all its threads. */
  readonly own: number;
  /** The same of its children that ended. */
  readonly ended: number;
}

function statOf(pid: number): Stat {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The second field is the program's name in brackets and may hold anything: fields are counted behind it.
  const fields = text
    .slice(text.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number);
  const [, parent = 0] = fields;
  const [user = 0, system = 0, endedUser = 0, endedSystem = 0] = fields.slice(11, 15);
  return { parent, own: user + system, ended: endedUser + endedSystem };
}

function statIfAlive(pid: number): Stat | null {
  try {
    return statOf(pid);
  } catch {
    return null; // it ended between our looks
  }
}

const allPids = (): number[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
