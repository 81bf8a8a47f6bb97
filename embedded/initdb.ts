import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { ServerUser } from './postgres-binaries';
import { giveTo, type Place } from './postgres-folder';

const run = promisify(execFile);
const INITDB_MS_MAX = 120_000;

/** Makes a cluster: whole or not at all, since a half-made one looks like a cluster. UTF-8 and a fixed locale. */
export async function initialize(owner: string, place: Place, user: ServerUser | null): Promise<void> {
  const fresh = `${place.data}.new-${randomBytes(6).toString('hex')}`;
  const passwordFile = join(tmpdir(), `reprise-${randomBytes(8).toString('hex')}`);
  writeFileSync(passwordFile, place.password, { mode: 0o600, flag: 'wx' });
  mkdirSync(fresh);
  try {
    giveTo(fresh, user, 0o700);
    giveTo(passwordFile, user, 0o600);
    const initdb = (...locale: string[]) =>
      run(
        join(place.binaries, 'bin', 'initdb'),
        [
          ...[`--pgdata=${fresh}`, `--username=${owner}`, `--pwfile=${passwordFile}`],
          ...['--auth=scram-sha-256', '--encoding=UTF8', ...locale],
        ],
        { ...user, cwd: '/', env: { PATH: process.env['PATH'], TZ: 'UTC' }, timeout: INITDB_MS_MAX },
      );
    // Sorting and case must not depend on the machine. Not every system has C.UTF-8; without it PostgreSQL still stores and
    // compares UTF-8.
    await initdb('--locale=C', '--lc-ctype=C.UTF-8').catch((error: unknown) => {
      if (!/locale/i.test(stderrOf(error))) throw error;
      return initdb('--locale=C');
    });
    renameSync(fresh, place.data);
  } catch (cause) {
    const said = stderrOf(cause).trim().split('\n').at(-1) ?? '';
    throw new Error(`no PostgreSQL cluster could be made in ${place.data}: ${said || String(cause)}`, { cause });
  } finally {
    rmSync(passwordFile, { force: true });
    rmSync(fresh, { recursive: true, force: true });
  }
}

const stderrOf = (error: unknown): string => (error as { stderr?: string }).stderr ?? '';
