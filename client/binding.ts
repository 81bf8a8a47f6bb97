import { type Client, WorkflowExecutionAlreadyStartedError, WorkflowNotFoundError } from '@temporalio/client';

export interface Binding {
  readonly idPrefix: string;
  readonly databaseId: string;
}

// A workflow that no worker ever runs: its memo says which database a namespace (or prefix) belongs to. A workflow and
// not the namespace's own data, because Temporal Cloud lets no client write that.
const MARKER_QUEUE = 'reprise-marker';

/** Temporal and PostgreSQL do not belong together: staging's workflows must never commit to production. */
export class WrongDatabase extends Error {
  override readonly name = 'WrongDatabase';
}

const markerOf = (idPrefix: string): string => `${idPrefix}reprise/database`;

/** Marks the namespace (or id prefix) as this database's, or throws `WrongDatabase` when it is another's. */
export async function bindDatabase(client: Client, binding: Binding): Promise<void> {
  const { idPrefix, databaseId } = binding;
  try {
    await client.workflow.start('database', {
      workflowId: markerOf(idPrefix),
      taskQueue: MARKER_QUEUE,
      workflowIdConflictPolicy: 'FAIL',
      workflowIdReusePolicy: 'ALLOW_DUPLICATE',
      memo: { databaseId },
      staticSummary: `belongs to database ${databaseId}`,
    });
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    await checkBound(client, binding);
  }
}

/** Throws `WrongDatabase` when the namespace (or id prefix) is another database's; false when it is nobody's yet. */
export async function checkBound(client: Client, { idPrefix, databaseId }: Binding): Promise<boolean> {
  const workflowId = markerOf(idPrefix);
  const owner = await readOwner(client, workflowId);
  if (owner === null || owner === databaseId) return owner !== null;
  throw new WrongDatabase(
    `namespace '${client.options.namespace}'${idPrefix ? ` with prefix '${idPrefix}'` : ''} belongs to database ` +
      `${owner}, not to ${databaseId}. Check DATABASE_URL and TEMPORAL_NAMESPACE; if that ` +
      `database is gone for good, terminate workflow '${workflowId}' and start again.`,
  );
}

/** A marker that was terminated binds nothing any more. */
async function readOwner(client: Client, workflowId: string): Promise<string | null> {
  try {
    const { memo, status } = await client.workflow.getHandle(workflowId).describe();
    return status.name === 'RUNNING' ? String(memo?.['databaseId']) : null;
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return null;
    throw error;
  }
}
