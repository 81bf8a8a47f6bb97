import { openPool } from '../../db/pool';
import { resetProjection } from '../../db/generations';
import { readProjections } from '../../db/projections';
import { confirm } from '../confirm';
import { findContext, loadModel } from '../context';
import { CliFailure } from '../failure';
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
