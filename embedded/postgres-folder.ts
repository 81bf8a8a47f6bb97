import { createHash, randomBytes } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { publish } from './lock';
import { canRead, isOurFolder, postgresBinaries, type ServerUser } from './postgres-binaries';

/** Where a PostgreSQL of ours lies. */
export interface Place {
  /** `dir`, or the folder its data was moved to. */
  readonly base: string;
  readonly data: string;
  readonly password: string;
  readonly logFile: string;
  readonly binaries: string;
}

// Not below a folder for temporary files: those are cleared, file by file on some systems.
const BASES = ['/var/lib/reprise', join(tmpdir(), 'reprise-data')];

/** The data folder belongs to the server's user, and every folder above it must let that user through. */
export function preparePlace(dir: string, user: ServerUser | null): Place {
  mkdirSync(dir, { recursive: true });
  const base = baseOf(dir, user);
  const data = join(base, 'data');
  refuseOthers(data, user);
  for (const name of readdirSync(base)) {
    if (name.startsWith('data.new-')) rmSync(join(base, name), { recursive: true }); // an initdb that was killed
  }
  return {
    base,
    data,
    password: keepPassword(base),
    logFile: join(dir, 'postgres.log'),
    binaries: postgresBinaries(user),
  };
}

/** Where the data lies when it could not lie in `dir`; null when it does. */
export function dataMovedTo(dir: string): string | null {
  const file = join(dir, 'moved-to');
  return existsSync(file) ? readFileSync(file, 'utf8').trim() : null;
}

/** Once chosen it stays: another place would be an empty database, without a word. */
function baseOf(dir: string, user: ServerUser | null): string {
  const chosen = dataMovedTo(dir);
  if (chosen !== null && existsSync(join(chosen, 'data'))) return chosen;
  if (!user || canRead(dir, user)) return dir;
  if (existsSync(join(dir, 'data', 'PG_VERSION'))) {
    throw new Error(
      `user postgres can no longer read ${dir}, where its data lies: 'chmod o+x' that folder and those above`,
    );
  }
  // A checkout under /root: the data lies in a folder that user can reach, and a note says where.
  const base = makeBase(createHash('sha256').update(dir).digest('hex').slice(0, 16), user);
  writeFileSync(join(dir, 'moved-to'), `${base}\n`);
  return base;
}

function makeBase(name: string, user: ServerUser): string {
  for (const parent of BASES) {
    const base = join(parent, name);
    try {
      for (const folder of [parent, base]) {
        mkdirSync(folder, { recursive: true });
        if (!isOurFolder(folder)) throw new Error(folder);
        chmodSync(folder, 0o755); // whatever the umask
      }
      if (canRead(base, user)) return base;
    } catch {
      continue;
    }
  }
  throw new Error(`no folder of ${BASES.join(', ')} can be made for PostgreSQL's data. Set DATABASE_URL instead.`);
}

function refuseOthers(data: string, user: ServerUser | null): void {
  if (!existsSync(data)) return;
  const owner = statSync(data).uid;
  if (owner === (user?.uid ?? process.getuid?.() ?? owner)) return;
  throw new Error(
    `${data} belongs to user ${owner}: run as that user (or as root when it is postgres), or delete it with 'reprise reset'`,
  );
}

/** Beside the data it opens: apart, one would outlive the other. */
function keepPassword(base: string): string {
  const file = join(base, 'password');
  const aside = `${file}.${randomBytes(6).toString('hex')}`;
  writeFileSync(aside, randomBytes(24).toString('base64url'), { mode: 0o600 });
  publish(aside, file);
  rmSync(aside);
  return readFileSync(file, 'utf8').trim();
}

/** A file or folder that only the server's user reads. */
export function giveTo(path: string, user: ServerUser | null, mode: number): void {
  if (user) chownSync(path, user.uid, user.gid);
  chmodSync(path, mode);
}
