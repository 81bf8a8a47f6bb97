import type { Pool } from 'pg';
import { readReplays } from '../../db/replays';
import { standsStill } from '../replay/line';
import type { Check } from './check';

/** Those that run: one that should go on and does not has nobody, or cannot. */
export async function checkReplays(db: Pool): Promise<Check[]> {
  const open = (await readReplays(db, null)).filter(({ ended }) => ended === null);
  return open.map((replay): Check => {
    const { projection, phase, wanted, still_seconds, error } = replay;
    const check = `replay ${projection}`;
    const found = `${phase}, ${wanted === 'run' ? '' : `${wanted}, `}moved ${Math.round(still_seconds ?? 0)} s ago`;
    if (error !== null) {
      return { check, status: 'warn', found: `${found}: ${error}`, next: `See 'reprise replay status ${projection}'.` };
    }
    return standsStill(replay)
      ? { check, status: 'warn', found, next: "Does a worker of replays run? 'reprise worker replay' is one." }
      : { check, status: 'pass', found };
  });
}
