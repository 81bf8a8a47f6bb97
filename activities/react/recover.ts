import type { Pool } from 'pg';
import { readOpen } from '../../db/reactions';
import type { Model } from '../../model/model';
import { readReaction } from './rows';
import type { Starter } from './start';

const PAGE_ROWS = 200;
const FIRST = { entityType: '', entityId: '', version: 0 };

export interface RecoverPorts {
  readonly db: Pool;
  readonly model: Model;
  readonly reaction: string;
  readonly starter: Starter;
  readonly progress: (looked: number, started: number) => void;
}

/**
 * Starts again what is open here and does not run in Temporal: it lost its data, or somebody ended it there. A process is
 * given the events that it had been told. A second run finds them running.
 */
export async function recoverReactions(
  ports: RecoverPorts,
): Promise<{ readonly open: number; readonly started: number }> {
  const { db, model, reaction, starter, progress } = ports;
  let open = 0;
  let started = 0;
  for (let after = FIRST; ;) {
    const page = await readOpen(db, reaction, after, PAGE_ROWS);
    for (const ref of page) {
      const found = await readReaction(db, ref);
      if (found?.status !== 'open') continue;
      open += 1;
      if (await starter.recover(ref, model.lift(found.event))) started += 1;
      progress(open, started);
    }
    const last = page.at(-1);
    if (!last) return { open, started };
    after = last;
  }
}
