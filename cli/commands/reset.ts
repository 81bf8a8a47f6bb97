import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { removePostgres } from '../../embedded/postgres';
import { endLeftTemporal } from '../../embedded/temporal';
import { confirm } from '../confirm';
import { keepAlone } from '../start/keep-alone';
import { findProject } from '../context';
import type { Output } from '../output';

/** Deletes what `reprise start` keeps in `.reprise`. A configured database or namespace is never touched. */
export async function reset(output: Output, _args: readonly string[], options: Record<string, unknown>): Promise<void> {
  const { dir } = findProject();
  if (!existsSync(dir)) {
    output.result({ deleted: null }, () => [`${dir} does not exist: nothing to delete`]);
    return;
  }
  const unlock = keepAlone(dir);
  try {
    await confirm(
      `Delete ${dir}: its database with every event, Temporal's histories and the logs? This cannot be undone.`,
      options,
    );
    await endLeftTemporal(join(dir, 'temporal'));
    await removePostgres(join(dir, 'postgres'));
    await rm(dir, { recursive: true, force: true });
  } finally {
    unlock();
  }
  output.result({ deleted: dir }, () => [`${dir} is deleted`]);
}
