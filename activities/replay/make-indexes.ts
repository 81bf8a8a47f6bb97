import type { Build } from '../../workflows/replay';
import type { ReplayPorts } from '../replay';

const BEAT_MS = 2_000;

// An index on a large table takes as long as it takes; what is lost of it is made again from its beginning.
const INDEX_MS_MAX = 24 * 60 * 60 * 1_000;

/** Indexes beside the primary key, and the planner's statistics: once it is filled, which is several times faster. */
export async function makeIndexes({ db, heartbeat }: ReplayPorts, { consumer, generation }: Build): Promise<void> {
  const beating = setInterval(() => heartbeat({ indexing: consumer }), BEAT_MS);
  const making = {
    text: 'select reprise.index_generation($1::text, $2::integer)',
    values: [consumer, generation],
    query_timeout: INDEX_MS_MAX, // of this statement, in place of the pool's
  };
  try {
    await db.query(making);
  } finally {
    clearInterval(beating);
  }
}
