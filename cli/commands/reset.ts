import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { readEndpoints } from '../../embedded/endpoints';
import { dataMovedTo } from '../../embedded/postgres';
import { isAlive } from '../../embedded/alive';
import { confirm } from '../confirm';
import { findProject } from '../context';
import { CliFailure } from '../failure';
import type { Output } from '../output';

/** Deletes what `reprise start` keeps in `.reprise`. A configured database or namespace is never touched. */
export async function reset(output: Output, _args: readonly string[], options: Record<string, unknown>): Promise<void> {
  const { dir } = findProject();
  if (!existsSync(dir)) {
    output.result({ deleted: null }, () => [`${dir} does not exist: nothing to delete`]);
    return;
  }
  const endpoints = readEndpoints(dir);
  if (endpoints && isAlive(endpoints.pid)) {
    throw new CliFailure(
      'running',
      `'reprise start' is running (process ${endpoints.pid})`,
      'Stop it with Ctrl-C first.',
    );
  }
  await confirm(
    `Delete ${dir}: its database with every event, Temporal's histories and the logs? This cannot be undone.`,
    options,
  );
  const moved = dataMovedTo(join(dir, 'postgres'));
  if (moved) await rm(moved, { recursive: true, force: true });
  await rm(dir, { recursive: true, force: true });
  output.result({ deleted: dir }, () => [`${dir} is deleted`]);
}
