import { connectTemporal } from '../../client/connect';
import { migrate } from '../../db/migrate';
import { openPool } from '../../db/pool';
import { addSink } from '../../db/sinks';
import { SINK_KINDS, type SinkKind } from '../../relay/open-sink';
import { registerSearchAttributes } from '../../client/search-attributes';
import { findContext, loadModel, type Project } from '../context';
import type { Output } from '../output';
import { declareReactions } from '../reactions';

/** Tables, logins, read models and search attributes: what `reprise migrate` does, for what was just brought up. */
export async function prepare(project: Project, output: Output): Promise<void> {
  const context = findContext(project);
  const model = loadModel(project);
  const log = (line: string) => output.note(line);
  await migrate(context.databaseUrl, { model, owned: context.ownsDatabase, log });
  await declareReactions(project, context.databaseUrl);
  await declareSinks(context.databaseUrl, output);
  const connection = await connectTemporal(context.temporal.connection);
  try {
    await registerSearchAttributes(connection, context.temporal.namespace);
  } finally {
    await connection.close();
  }
}

/** A broker that is configured is a sink: what is committed from its first start on goes there. */
async function declareSinks(databaseUrl: string, output: Output): Promise<void> {
  const configured = Object.entries(SINK_KINDS).filter(([, variable]) => process.env[variable]);
  if (configured.length === 0) return;
  const db = openPool({ url: databaseUrl, max: 1, applicationName: 'reprise-start' });
  try {
    for (const [kind, variable] of configured) {
      const added = await addSink(db, { sink: kind, kind: kind as SinkKind, options: {} });
      if (added)
        output.note(`sink ${kind} is declared, since ${variable} is set ('reprise sink rm ${kind}' undoes it)`);
    }
  } finally {
    await db.end();
  }
}
