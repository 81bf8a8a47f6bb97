import { existsSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { removePostgres } from '../../embedded/postgres';
import { endLeftTemporal } from '../../embedded/temporal';
import { confirm } from '../confirm';
import { keepAlone } from '../start/keep-alone';
import { findProject } from '../context';
import type { Output } from '../output';

// Servers of tests and benches of this checkout, which may be running: theirs to delete.
const NOT_OURS = /^(test|bench)(-|$)/;

/** Deletes what `reprise start` keeps in `.reprise`. A configured database or namespace is never touched. */
export async function reset(output: Output, _args: readonly string[], options: Record<string, unknown>): Promise<void> {
  const { dir } = findProject();
  const ours = existsSync(dir) ? (await readdir(dir)).filter((name) => !NOT_OURS.test(name)) : [];
  if (ours.length === 0) {
    output.result({ deleted: null, entries: [], kept: [] }, () => [`nothing to delete in ${dir}`]);
    return;
  }
  const unlock = keepAlone(dir);
  try {
    await confirm(
      `Delete ${ours.join(', ')} in ${dir}: the database with every event, Temporal's histories and the logs? This cannot be undone.`,
      options,
    );
    await endLeftTemporal(join(dir, 'temporal'));
    await removePostgres(join(dir, 'postgres'));
    for (const name of ours) await rm(join(dir, name), { recursive: true, force: true });
  } finally {
    unlock();
  }
  const kept = await readdir(dir);
  if (kept.length === 0) await rm(dir, { recursive: true, force: true });
  output.result({ deleted: dir, entries: ours, kept }, () => [
    `deleted in ${dir}: ${ours.join(', ')}`,
    ...(kept.length === 0 ? [] : [`left there: ${kept.join(', ')}, of tests and benches`]),
  ]);
}
