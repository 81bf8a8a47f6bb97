import { openPool } from '../../db/pool';
import { resetProjection } from '../../db/generations';
import { readProjections } from '../../db/projections';
import { confirm } from '../confirm';
import { findContext, findProject, loadModel } from '../context';
import { CliFailure } from '../failure';
import { foldsOf, lockFileOf, readLock, whatChanged, writeLock } from '../fold-lock';
import { table, type Output } from '../output';

export async function listProjections(output: Output): Promise<void> {
  const context = findContext();
  const db = openPool({ url: context.urlOf('read'), max: 1, applicationName: 'reprise-cli' });
  try {
    const projections = await readProjections(db);
    output.result({ projections }, () => table(projections));
  } finally {
    await db.end();
  }
}

export async function resetProjectionCommand(
  output: Output,
  [name = '']: readonly string[],
  options: Record<string, unknown>,
): Promise<void> {
  const context = findContext();
  const model = loadModel(context.project);
  const projection = model.projection(name);
  if (!projection) {
    const known = model.projections.map((projection) => projection.name).join(', ');
    throw new CliFailure('usage', `the model has no projection '${name}'`, `It has: ${known}`, 2);
  }
  await confirm(
    `Empty read.${name} and fold it again from the first event? Readers see it incomplete meanwhile.`,
    options,
  );
  await resetProjection(context.databaseUrl, projection);
  output.result({ reset: name }, () => [
    `read.${name} is empty and being folded again: 'reprise projection ls' shows how far.`,
  ]);
}

/** Asks whether a fold that changed should have raised its version, or says that it is right as it is. */
export function lockProjections(
  output: Output,
  _args: readonly string[],
  options: Record<string, unknown>,
): Promise<void> {
  const project = findProject();
  const file = lockFileOf(project);
  const now = foldsOf(project, loadModel(project));
  const changed = whatChanged(readLock(file), now);
  if (options['check'] === true) {
    if (changed.length > 0) {
      throw new CliFailure(
        'fold_changed',
        changed.join('; '),
        "Then, or if all rows come out the same, run 'reprise projection lock' and commit the file.",
      );
    }
    output.result({ unchanged: Object.keys(now) }, () => [`${file} is what the folds are`]);
    return Promise.resolve();
  }
  writeLock(file, now);
  output.result({ locked: now, changed }, () => [`${file} is written`, ...changed.map((one) => `  ${one}`)]);
  return Promise.resolve();
}
