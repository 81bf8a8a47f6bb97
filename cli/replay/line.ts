import type { ReplayStatus } from '../../db/replays';

/** How far a replay is, in one line: done and total, percent, events/s and limit, what slows it, time left, trouble. */
export function progressLine(status: ReplayStatus): string {
  const { projection, phase, parked, error } = status;
  const parts = [
    ...(phase === 'filling' ? filling(status) : [PHASES[phase]]),
    ...(parked > 0 ? [`${count(parked)} parked`] : []),
    ...(error === null ? [] : [`error: ${error}`]),
  ];
  return [projection, ...parts].join('  ');
}

function filling({ wanted, done, total, per_second, rate, bounded_by, seconds_left }: ReplayStatus): string[] {
  const percent = total === 0 ? 100 : Math.floor((100 * done) / total);
  const share = [`${percent} %`, `${count(done)}/${count(total)} events`];
  const limit = rate === null ? '' : ` of at most ${count(rate)}/s`;
  if (wanted === 'pause') return [...share, 'paused'];
  if (wanted === 'cancel') return [...share, 'being cancelled'];
  if (per_second === null) return [...share, `stands still${rate === null ? '' : `, at most ${count(rate)}/s`}`];
  return [
    ...share,
    `${count(per_second)}/s${limit}`,
    ...(bounded_by === null ? [] : [`slowed: ${bounded_by}`]),
    ...(seconds_left === null ? [] : [`${timeLeft(seconds_left)} left`]),
  ];
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

export const count = (n: number): string => Math.round(n).toLocaleString('en-US');

export function timeLeft(seconds: number): string {
  if (seconds < 100) return `${Math.ceil(seconds)} s`;
  if (seconds < 6_000) return `${Math.ceil(seconds / 60)} min`;
  return `${(seconds / 3_600).toFixed(1)} h`;
}

const STILL_SECONDS_MAX = 30;

/** It is wanted to go on, and nobody says that it does. Making its indexes takes long, too: so it is asked, not said. */
export const standsStill = ({ phase, wanted, still_seconds }: Omit<ReplayStatus, 'report'>): boolean =>
  phase === 'filling' && wanted !== 'pause' && (still_seconds ?? 0) > STILL_SECONDS_MAX;
