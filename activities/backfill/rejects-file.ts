import { existsSync } from 'node:fs';
import { access, constants, open, rename, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { hostname } from 'node:os';
import type { Pool } from 'pg';
import { readRejects } from '../../db/backfills';
import { BackfillFailed } from './source';

const PAGE = 1_000;

/** Asked before anything is brought: a run of hours should not end in a folder that cannot be written to. */
export async function checkRejectsFile(path: string): Promise<void> {
  try {
    await access(dirname(path), constants.W_OK);
    if (existsSync(path) && !(await stat(path)).isFile()) throw Object.assign(new Error(), { code: 'EISDIR' });
  } catch (error) {
    const { code = 'unknown' } = error as NodeJS.ErrnoException;
    throw new BackfillFailed(
      'rejects_unwritable',
      `${path} cannot be written by the backfill worker on ${hostname()} (${code}): name another place with --rejects`,
    );
  }
}

/**
 * Writes a run's rejects, a JSON object a line, in the order of the source: all of them, or the file is as it was. With none
 * there is no file, but for one of an earlier run, which is emptied. Answers whether there is one.
 */
export async function writeRejectsFile(db: Pool, run: string, path: string): Promise<boolean> {
  let page = await readRejects(db, run, { row: 0, nth: -2 }, PAGE);
  if (page.length === 0 && !existsSync(path)) return false;
  const partial = `${path}.${run}.partial`;
  const file = await open(partial, 'w');
  try {
    for (let last = page.at(-1); last; last = page.at(-1)) {
      await file.write(page.map((reject) => `${JSON.stringify(toLine(reject))}\n`).join(''));
      page = await readRejects(db, run, last, PAGE);
    }
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(partial, path);
  return true;
}

/** What a person looks for first comes first; a row rejected as a whole names no command. */
function toLine({ line, row, id, nth, entity, code, message }: Awaited<ReturnType<typeof readRejects>>[number]) {
  return {
    ...(line === null ? {} : { line }),
    row,
    id,
    ...(nth < 0 ? {} : { command: nth, entity }),
    code,
    ...(message === null ? {} : { message }),
  };
}
