import type { BackfillRun } from '../../db/backfills';

interface Seen {
  readonly at: number;
  readonly run: BackfillRun;
}

// Rates are of the last seconds: a pause an hour ago is no news.
const WINDOW_MS = 10_000;
const STALLED_MS = 20_000;

/** Tells how far a run is, and how fast it has been lately: one line. */
export function makeTeller(): (run: BackfillRun) => string {
  let seen: Seen[] = [];
  let movedAt = Date.now();

  return (run) => {
    const now = Date.now();
    if (seen.at(-1)?.run.updated_at !== run.updated_at) movedAt = now;
    seen = [...seen.filter(({ at }) => at > now - WINDOW_MS), { at: now, run }];
    const first = seen[0] ?? { at: now, run };
    const seconds = Math.max(0.001, (now - first.at) / 1000);
    const perSecond = (run.rows_read - first.run.rows_read) / seconds;
    const left = leftOf(run, (run.done - first.run.done) / seconds);
    const stalled = run.wanted === 'run' && now - movedAt > STALLED_MS;
    return [
      `${run.name}${run.dry_run ? ' (dry run)' : ''}`,
      stateOf(run),
      `${run.rows_read} rows`,
      `${Math.round(perSecond)} rows/s`,
      run.rate === null ? null : `limit ${run.rate} commands/s`,
      left,
      `${run.rejected} rejected`,
      stalled ? "nothing moves: does 'reprise worker backfill' run?" : null,
    ]
      .filter((part) => part !== null)
      .join('  ');
  };
}

function stateOf({ wanted, done, total }: BackfillRun): string {
  if (wanted !== 'run') return wanted === 'pause' ? 'paused' : 'cancelling';
  return total ? `${Math.min(100, Math.floor((100 * done) / total))} %` : 'running';
}

function leftOf({ done, total, wanted }: BackfillRun, perSecond: number): string | null {
  if (total === null || wanted !== 'run' || perSecond <= 0) return null;
  return `${Math.ceil(Math.max(0, total - done) / perSecond)} s left`;
}

/** How a run ended, or stands: for people. */
export function summarize(run: BackfillRun): string[] {
  const { name, dry_run, status, wanted, rows_read, accepted, repeated, events, rejected, rejects_file, error } = run;
  const state = status === 'running' && wanted === 'pause' ? 'paused' : status;
  const told = dry_run ? 'would be accepted' : 'accepted';
  return [
    `${name}: ${state}${dry_run ? ' (a dry run: nothing was committed)' : ''}`,
    `  rows       ${rows_read} read`,
    `  commands   ${accepted} ${told}, ${repeated} there before, ${rejected} rejected`,
    `  events     ${events}`,
    ...(rejected > 0 && rejects_file !== null && status !== 'running' ? [`  rejects    ${rejects_file}`] : []),
    ...(error === null ? [] : [`  note       ${error}`]),
  ];
}
