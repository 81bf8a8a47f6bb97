import { connectTemporal } from '../../client/connect';
import { migrate } from '../../db/migrate';
import { registerSearchAttributes } from '../../client/search-attributes';
import { findContext, loadModel } from '../context';
import { CliFailure } from '../failure';
import type { Output } from '../output';
import { declareReactions } from '../reactions';

export async function migrateCommand(
  output: Output,
  _args: readonly string[],
  options: Record<string, unknown>,
): Promise<void> {
  const partitions = options['partitions'] === undefined ? undefined : Number(options['partitions']);
  if (partitions !== undefined && !(Number.isInteger(partitions) && partitions >= 1 && partitions <= 4096)) {
    throw new CliFailure(
      'usage',
      `--partitions ${String(options['partitions'])}: a whole number from 1 to 4096`,
      undefined,
      2,
    );
  }
  const context = findContext();
  const model = loadModel(context.project);
  const done = await migrate(context.databaseUrl, {
    model,
    ...(partitions === undefined ? {} : { partitions }),
    owned: context.ownsDatabase,
    log: (line) => output.note(line),
  });
  await declareReactions(context.project, context.databaseUrl);
  const connection = await connectTemporal(context.temporal.connection);
  try {
    await registerSearchAttributes(connection, context.temporal.namespace);
  } finally {
    await connection.close();
  }
  output.result(done, () => [
    done.applied.length > 0 ? `applied ${done.applied.join(', ')}` : `nothing to do: ${done.already} migrations are in`,
  ]);
}
