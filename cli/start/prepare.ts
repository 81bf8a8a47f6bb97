import { Connection } from '@temporalio/client';
import { migrate } from '../../db/migrate';
import { registerSearchAttributes } from '../../client/search-attributes';
import { findContext, loadModel, type Project } from '../context';
import type { Output } from '../output';

/** Tables, logins, read models and search attributes: what `reprise migrate` does, for what was just brought up. */
export async function prepare(project: Project, output: Output): Promise<void> {
  const context = findContext(project);
  const model = loadModel(project);
  const log = (line: string) => output.note(line);
  await migrate(context.databaseUrl, { model, owned: context.ownsDatabase, log });
  const connection = await Connection.connect(context.temporal.connection);
  try {
    await registerSearchAttributes(connection, context.temporal.namespace);
  } finally {
    await connection.close();
  }
}
