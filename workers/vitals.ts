import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { Pool } from 'pg';
import type { Commit } from '../activities/commit';

const TELL_MS = 1_000;

export interface TimedCommit {
  readonly commit: Commit;
  /** Tells no more. */
  readonly close: () => Promise<void>;
}

/**
 * Tells how long commits take, at most once a second and only while there are any: what an adaptive replay goes by. Figures
 * for people are in the metrics; these are for whoever has to decide now, from the one place that all processes share.
 */
export function tellVitals(db: Pool, commit: Commit, atOnce: number): TimedCommit {
  const name = `entity/${hostname()}/${process.pid}/${randomUUID().slice(0, 8)}`;
  let took: number[] = [];
  let underWay = 0;
  let waiting = 0;
  let timer: NodeJS.Timeout | null = null;
  let telling: Promise<unknown> = Promise.resolve();

  function tell(): void {
    timer = null;
    const p99 = took.sort((a, b) => a - b)[Math.floor((took.length - 1) * 0.99)] ?? 0;
    const values = [name, p99, waiting];
    took = [];
    waiting = 0;
    telling = write(db, values).catch(() => undefined); // the next second tells again
  }

  return {
    commit: async (batch) => {
      const startedAt = performance.now();
      underWay += 1;
      waiting = Math.max(waiting, underWay - atOnce);
      try {
        return await commit(batch);
      } finally {
        underWay -= 1;
        took.push(performance.now() - startedAt);
        timer ??= setTimeout(tell, TELL_MS).unref();
      }
    },
    close: async () => {
      if (timer) clearTimeout(timer);
      await telling;
    },
  };
}

/** With it leave the rows of processes that ended: each start has a name of its own. */
async function write(db: Pool, values: readonly unknown[]): Promise<void> {
  await db.query({
    name: 'tell_vitals',
    text: `with gone as (delete from reprise.vitals where at < clock_timestamp() - interval '1 hour')
           insert into reprise.vitals (process, commit_p99_ms, waiting) values ($1::text, $2::real, $3::integer)
           on conflict (process) do update
             set commit_p99_ms = excluded.commit_p99_ms, waiting = excluded.waiting, at = clock_timestamp()`,
    values: [...values],
  });
}
