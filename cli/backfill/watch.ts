import { ApplicationFailure, CancelledFailure, WorkflowFailedError, WorkflowNotFoundError } from '@temporalio/client';
import type { Pool } from 'pg';
import { pause } from '../../activities/pause';
import type { BackfillHandle } from '../../client/backfills';
import { readNewestBackfills, readRejects, type BackfillRun } from '../../db/backfills';
import { CliFailure } from '../failure';
import type { Output } from '../output';
import { makeMovingLine } from '../moving-line';
import { makeTeller, summarize } from './progress';

interface Watched {
  readonly name: string;
  readonly handle: BackfillHandle;
  /** Login `reprise_read`. */
  readonly db: Pool;
  /** This run's row, once it has one; without it, the newest. */
  readonly run?: string;
}

const LOOK_EVERY_MS = 500;
const REJECTS_SHOWN = 20;

/** Follows a run to its end, or until Ctrl-C: the run goes on without whoever watches it. */
export async function watchBackfill(output: Output, watched: Watched): Promise<void> {
  const detached = new AbortController();
  const detach = () => detached.abort();
  process.once('SIGINT', detach);
  const ended = watched.handle.result();
  ended.catch(() => undefined);
  const following = follow(output, watched, AbortSignal.any([detached.signal]), ended);
  try {
    const run = await following;
    if (run === 'detached') return tellDetached(output, watched);
    await tellEnd(output, watched, run);
  } catch (error) {
    throw toOwn(watched.name, error);
  } finally {
    process.off('SIGINT', detach);
  }
}

async function follow(
  output: Output,
  { name, db, run }: Watched,
  signal: AbortSignal,
  ended: Promise<BackfillRun | null>,
): Promise<BackfillRun | null | 'detached'> {
  const line = makeMovingLine(output);
  const tell = makeTeller();
  const over = new AbortController();
  const either = AbortSignal.any([signal, over.signal]);
  const stop = () => over.abort();
  void ended.then(stop, stop);
  try {
    while (!either.aborted) {
      const [found] = await readNewestBackfills(db, name);
      if (found?.status === 'running' && (run === undefined || found.run === run)) line.tell(tell(found));
      await pause(LOOK_EVERY_MS, either);
    }
  } finally {
    line.end();
  }
  return signal.aborted ? 'detached' : ended;
}

function tellDetached(output: Output, { name }: Watched): void {
  output.result({ backfill: name, detached: true }, () => [
    `${name} goes on. 'reprise backfill watch ${name}' shows it again, 'reprise backfill cancel ${name}' ends it.`,
  ]);
}

async function tellEnd(output: Output, { name, db }: Watched, run: BackfillRun | null): Promise<void> {
  if (!run) throw new CliFailure('failed', `${name} ended before it began`);
  const rejects = await readRejects(db, run.run, { row: 0, nth: -2 }, REJECTS_SHOWN);
  output.result({ backfill: run, rejects }, () => [
    ...summarize(run),
    ...rejects.map(({ line, row, code, message }) => {
      return `    ${line === null ? `row ${row}` : `line ${line}`}: ${code}${message === null ? '' : `, ${message}`}`;
    }),
    ...(run.rejected > rejects.length ? [`    and ${run.rejected - rejects.length} more`] : []),
  ]);
  if (run.status !== 'done') process.exitCode = 1;
}

/** Why a run failed, in its own words and under its own code. */
function toOwn(name: string, error: unknown): unknown {
  if (error instanceof WorkflowNotFoundError) return neverRun(name);
  if (!(error instanceof WorkflowFailedError)) return error;
  const { cause } = error;
  if (cause instanceof CancelledFailure) return new CliFailure('cancelled', `${name} was cancelled`);
  const root = cause?.cause instanceof Error ? cause.cause : cause;
  const code = root instanceof ApplicationFailure && root.type ? root.type : 'failed';
  return new CliFailure(code, `${name} has failed: ${root?.message ?? error.message}`, NEXT[code]);
}

const NEXT: Readonly<Record<string, string>> = {
  file_unreadable: "Put the file where 'reprise worker backfill' runs, with the same path, and start again.",
  unknown_backfill: "Restart 'reprise worker backfill' with the code that has it.",
};

export const neverRun = (name: string): CliFailure =>
  new CliFailure('not_running', `${name} has not been run`, `Start it: 'reprise backfill start ${name} --file F'`);
