import { progressLine } from '../../activities/replay/look';
import type { ReplayStatus } from '../../db/replays';

/** How far a replay is, in one line: done and total, percent, events/s and limit, what slows it, time left, trouble. */
export function watchLine(status: ReplayStatus): string {
  const { projection, phase, error } = status;
  const trouble = error === null ? '' : `, error: ${error}`;
  return `${projection}: ${phase === 'filling' ? progressLine(status) : PHASES[phase]}${trouble}`;
}

export const PHASES: Readonly<Record<ReplayStatus['phase'], string>> = {
  filling: 'being filled',
  verifying: 'being verified',
  different: 'differs from what serves',
  verified: 'verified',
  switched: 'switched: it serves',
  'rolled-back': 'rolled back: the old one serves',
  dropped: 'built, verified and removed',
  cancelled: 'cancelled and removed',
};

const STILL_SECONDS_MAX = 30;

/** It is wanted to go on, and nobody says that it does. Making its indexes takes long, too: so it is asked, not said. */
export const standsStill = ({ phase, wanted, still_seconds }: Omit<ReplayStatus, 'report'>): boolean =>
  phase === 'filling' && wanted !== 'pause' && (still_seconds ?? 0) > STILL_SECONDS_MAX;
