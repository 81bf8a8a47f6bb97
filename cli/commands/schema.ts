import { schemaDrift, writeSchema } from '../../db/scratch';
import { withScratchServer } from '../scratch-server';
import { CliFailure } from '../failure';
import type { Output } from '../output';

/** Keeps the committed schema what the migrations make of an empty database. */
export async function schema(
  output: Output,
  _args: readonly string[],
  options: Record<string, unknown>,
): Promise<void> {
  await withScratchServer(async (url) => {
    if (options['check'] !== true) {
      await writeSchema(url);
      output.result({ written: 'db/schema.sql' }, () => ['db/schema.sql is written']);
      return;
    }
    const drift = await schemaDrift(url);
    if (drift)
      throw new CliFailure(
        'schema_drift',
        `db/schema.sql differs: ${drift}`,
        "Run 'npx reprise schema' and commit it.",
      );
    output.result({ same: true }, () => ['db/schema.sql is what the migrations make']);
  });
}
