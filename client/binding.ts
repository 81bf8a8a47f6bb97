import { type Client, WorkflowExecutionAlreadyStartedError } from '@temporalio/client';

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

/** Marks the namespace (or id prefix) as this database's, or throws `WrongDatabase` when it is another's. */
export async function bindDatabase(client: Client, { idPrefix, databaseId }: Binding): Promise<void> {
  const workflowId = `${idPrefix}reprise/database`;
  try {
    await client.workflow.start('database', {
      workflowId,
      taskQueue: MARKER_QUEUE,
      workflowIdConflictPolicy: 'FAIL',
      workflowIdReusePolicy: 'ALLOW_DUPLICATE',
      memo: { databaseId },
      staticSummary: `belongs to database ${databaseId}`,
    });
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    const { memo } = await client.workflow.getHandle(workflowId).describe();
    if (memo?.['databaseId'] === databaseId) return;
    throw new WrongDatabase(
      `namespace '${client.options.namespace}'${idPrefix ? ` with prefix '${idPrefix}'` : ''} belongs to database ` +
        `${String(memo?.['databaseId'])}, not to ${databaseId}. Check DATABASE_URL and TEMPORAL_NAMESPACE; if that ` +
        `database is gone for good, terminate workflow '${workflowId}' and start again.`,
    );
  }
}
