import { makeCommit, type Commit, type CommitWatch } from '../activities/commit';
import { gather } from '../activities/commit/gather';
import { readIdentity } from '../db/identity';
import { openPool } from '../db/pool';
import { makeWaker } from '../db/wake';
import { tellVitals } from './vitals';
import type { Model } from '../model/model';
import { partitionOf } from '../model/partition';

// Four transactions share the calls of all workflows, so four connections carry any load; one more wakes.
const TRANSACTIONS_MAX = 4;
const COMMANDS_PER_TRANSACTION_MAX = 256;

// Of 256 commands of 1.5 MB each, PostgreSQL takes no jsonb (256 MB), and no worker has the memory.
const CHARACTERS_PER_TRANSACTION_MAX = 4_000_000;

// A shared transaction that meets a lock held for longer is given up, and its calls go on partition by partition, each on
// one of these connections: those of the held one wait, the others are done at once.
const SHARED_LOCK_MS_MAX = 100;
const CONNECTIONS_THAT_WAIT = 8;

/** The commit as an entity worker runs it, with its connections. */
export async function makeGroupCommit(
  model: Model,
  databaseUrl: string,
  watch?: CommitWatch,
): Promise<{ readonly commit: Commit; readonly close: () => Promise<void> }> {
  const db = openPool({ url: databaseUrl, max: TRANSACTIONS_MAX + 1, applicationName: 'reprise-entity' });
  const patient = openPool({ url: databaseUrl, max: CONNECTIONS_THAT_WAIT, applicationName: 'reprise-entity-waits' });
  const { partitions } = await readIdentity(db);
  const shared = { model, partitions, wake: makeWaker(db), watch };
  const commit = gather({
    together: makeCommit({ ...shared, db, lockMsMax: SHARED_LOCK_MS_MAX }),
    patiently: makeCommit({ ...shared, db: patient }),
    partitionOf: ({ entityType, entityId }) => partitionOf(entityType, entityId, partitions),
    transactionsMax: TRANSACTIONS_MAX,
    commandsMax: COMMANDS_PER_TRANSACTION_MAX,
    charactersMax: CHARACTERS_PER_TRANSACTION_MAX,
  });
  const timed = tellVitals(db, commit, TRANSACTIONS_MAX);
  return {
    commit: timed.commit,
    close: async () => {
      await timed.close();
      await Promise.all([db.end(), patient.end()]);
    },
  };
}
