import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** Whether a process exists and runs: signal 0 asks without sending. One of another user counts, a zombie does not. */
export function isAlive(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  return procStat(pid)?.[0] !== 'Z';
}

/** Sends a signal; a process that has ended meanwhile is as good. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

const POLL_MS = 50;

/** Waits until a process is gone; false when it is still there after `withinMs`. */
export async function gone(pid: number, withinMs: number): Promise<boolean> {
  for (const until = Date.now() + withinMs; Date.now() < until;) {
    if (!isAlive(pid)) return true;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  return !isAlive(pid);
}

/** Whether a living process was started with this path as an argument: its pid alone may be another's by now. */
export function isRunningOn(pid: number, path: string): boolean {
  if (!isAlive(pid)) return false;
  try {
    if (process.platform === 'linux') return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes(path);
    return ps(pid, 'args').includes(path);
  } catch {
    return false;
  }
}

/** When a process started, in its system's own words; with its pid it names a process that ever was. */
export function startOf(pid: number): string | null {
  try {
    return process.platform === 'linux' ? (procStat(pid)?.[19] ?? null) : ps(pid, 'lstart');
  } catch {
    return null;
  }
}

/** Whether it is this process that listens on a port. Where that cannot be asked, it is believed. */
export function isListening(pid: number, port: number): boolean {
  try {
    if (process.platform !== 'linux') {
      execFileSync('lsof', ['-a', '-p', String(pid), `-iTCP:${port}`, '-sTCP:LISTEN'], { stdio: 'ignore' });
      return true;
    }
    const sockets = readdirSync(`/proc/${pid}/fd`).map((fd) => linkOf(`/proc/${pid}/fd/${fd}`));
    return listeners(port).some((inode) => sockets.includes(`socket:[${inode}]`));
  } catch (error) {
    return (error as { status?: number }).status !== 1; // lsof found none
  }
}

const TCP_LISTEN = '0A';

/** Inodes of the sockets that listen on a port, from the kernel's table (man 5 proc: local_address, st, inode). */
function listeners(port: number): string[] {
  const hexPort = port.toString(16).toUpperCase().padStart(4, '0');
  const rows = readFileSync('/proc/net/tcp', 'utf8').trim().split('\n').slice(1);
  return rows
    .map((row) => row.trim().split(/\s+/))
    .filter(([, local = '', , state]) => local.endsWith(`:${hexPort}`) && state === TCP_LISTEN)
    .map((fields) => fields[9] ?? '');
}

function linkOf(path: string): string | null {
  try {
    return readlinkSync(path);
  } catch {
    return null; // closed meanwhile
  }
}

/** The fields of /proc/<pid>/stat after the name, which may hold anything: state first, start time the twentieth. */
function procStat(pid: number): string[] | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return null;
  }
}

const ps = (pid: number, column: string): string =>
  execFileSync('ps', ['-o', `${column}=`, '-p', String(pid)], { encoding: 'utf8' }).trim();
