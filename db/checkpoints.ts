import type { Pool } from 'pg';

/** A consumer's places, made once: at the first event of the log, or at the next one to be committed. */
export async function ensureCheckpoints(db: Pool, consumer: string, from: 'beginning' | 'head'): Promise<void> {
  await db.query(
    `insert into reprise.checkpoints (consumer, generation, partition, next_offset)
     select $1::text, 0, partition, case when $2::boolean then head + 1 else 1 end from reprise.partitions
     on conflict do nothing`,
    [consumer, from === 'head'],
  );
}
