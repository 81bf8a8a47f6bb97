import type { Pool } from 'pg';
import { readReplays, type ReplayStatus } from '../../db/replays';
import { projectionOfConsumer } from '../../workflows/names';
import type { Build } from '../../workflows/replay';

/** One line of progress, for whoever looks in Temporal. */
export async function lookAt(db: Pool, { consumer, generation }: Build): Promise<string> {
  const all = await readReplays(db, projectionOfConsumer(consumer));
  const status = all.find((one) => one.generation === generation);
  return status ? progressLine(status) : 'not begun';
}

/** `12,000 of 300,000 events (4 %), 98,000/s of at most 100,000/s, 3 s left`. */
export function progressLine(status: ReplayStatus): string {
  const { done, total, unit, rows_copied, per_second, seconds_left, rate, bounded_by, parked, wanted } = status;
  const limit = rate === null ? '' : ` of at most ${count(rate)}/s`;
  const parts = [howFar(status)];
  if (wanted !== 'run') parts.push(wanted === 'pause' ? 'paused' : 'being cancelled');
  else if (per_second !== null) parts.push(`${count(per_second)}${unit === 'events' ? '' : ' events'}/s${limit}`);
  else parts.push(done < total || rows_copied !== null ? 'stands still' : 'filled');
  if (wanted === 'run' && seconds_left !== null) parts.push(`${timeLeft(seconds_left)} left`);
  if (bounded_by !== null) parts.push(`slowed: ${bounded_by}`);
  if (parked > 0) parts.push(`${count(parked)} entities parked`);
  return parts.join(', ');
}

function howFar({ done, total, unit, rows_copied }: ReplayStatus): string {
  if (rows_copied !== null) return `${count(rows_copied)} rows copied`;
  const percent = total === 0 ? 100 : Math.floor((100 * done) / total);
  return `${count(done)} of ${count(total)} ${unit} (${percent} %)`;
}

export const count = (n: number): string => Math.round(n).toLocaleString('en-US');

export function timeLeft(seconds: number): string {
  if (seconds < 100) return `${Math.ceil(seconds)} s`;
  if (seconds < 6_000) return `${Math.ceil(seconds / 60)} min`;
  return `${(seconds / 3_600).toFixed(1)} h`;
}
