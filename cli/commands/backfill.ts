import { resolve } from 'node:path';
import {
  ApplicationFailure,
  Client,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
  WorkflowUpdateRPCTimeoutOrCancelledError,
} from '@temporalio/client';
import type { Pool } from 'pg';
import { BackfillRunning, findBackfill, startBackfill, type BackfillHandle } from '../../client/backfills';
import { connectTemporal } from '../../client/connect';
import { readNewestBackfills, type BackfillRun } from '../../db/backfills';
import { openPool } from '../../db/pool';
import type { Backfill } from '../../model/backfill';
import { neverRun, watchBackfill } from '../backfill/watch';
import { summarize } from '../backfill/progress';
import { loadBackfills } from '../backfills';
import { findContext } from '../context';
import { CliFailure } from '../failure';
import { table, type Output } from '../output';
import { withDb } from '../with-db';

type Args = readonly string[];
type Options = Record<string, unknown>;

export async function startBackfillCommand(output: Output, [name = '']: Args, options: Options): Promise<void> {
  const backfill = declared(name);
  const file = fileFor(backfill, options);
  const rate = typeof options['rate'] === 'string' ? toRate(options['rate']) : null;
  const rejects = typeof options['rejects'] === 'string' ? resolve(options['rejects']) : null;
  const wanted = {
    ...{ name, file, rate },
    dryRun: options['dryRun'] === true,
    publish: options['publish'] === true,
    rejectsFile: rejects ?? (file === null ? null : `${file}.rejects.ndjson`),
  };
  await withBackfills(async ({ temporal, idPrefix, db }) => {
    const { run, handle } = await startBackfill({ temporal, idPrefix }, wanted).catch((error: unknown) => {
      if (!(error instanceof BackfillRunning)) throw error;
      throw new CliFailure('already_running', error.message, `Watch it: 'reprise backfill watch ${name}'`);
    });
    await watchBackfill(output, { name, handle, db, run });
  });
}

export async function watchBackfillCommand(output: Output, [name = '']: Args): Promise<void> {
  declared(name);
  await withBackfills(async ({ temporal, idPrefix, db }) => {
    await watchBackfill(output, { name, handle: findBackfill({ temporal, idPrefix }, name), db });
  });
}

export async function showBackfill(output: Output, [name = '']: Args): Promise<void> {
  declared(name);
  await withDb('read', async (db) => {
    const [run] = await readNewestBackfills(db, name);
    if (!run) throw neverRun(name);
    output.result({ backfill: run }, () => summarize(run));
  });
}

/** Every one that is declared, and its newest run. */
export async function listBackfills(output: Output): Promise<void> {
  const names = loadBackfills(findContext().project).map((one) => one.name);
  await withDb('read', async (db) => {
    const runs = await readNewestBackfills(db, null);
    const never = names.filter((name) => !runs.some((run) => run.name === name));
    const rows = [...runs.map(toLine), ...never.map((name) => ({ ...NEVER, backfill: name }))];
    output.result({ backfills: runs, never_run: never }, () => table(rows));
  });
}

const NEVER = { backfill: '', status: 'never run', rows: 0, accepted: 0, repeated: 0, rejected: 0, started: null };

const toLine = ({ name, status, wanted, rows_read, accepted, repeated, rejected, started_at }: BackfillRun) => ({
  backfill: name,
  status: status === 'running' && wanted === 'pause' ? 'paused' : status,
  rows: rows_read,
  accepted,
  repeated,
  rejected,
  started: started_at,
});

export const pauseBackfill = (output: Output, [name = '']: Args): Promise<void> =>
  steer(output, name, `${name} stops within a second; 'reprise backfill resume ${name}' lets it go on.`, (run) =>
    run.executeUpdate<BackfillRun | null, []>('pause'),
  );
export const resumeBackfill = (output: Output, [name = '']: Args): Promise<void> =>
  steer(output, name, `${name} goes on.`, (run) => run.executeUpdate<BackfillRun | null, []>('resume'));
export const cancelBackfill = (output: Output, [name = '']: Args): Promise<void> =>
  steer(output, name, `${name} ends; what is in stays in, and a later run does not bring it twice.`, (run) =>
    run.executeUpdate<BackfillRun | null, []>('cancel'),
  );

export async function throttleBackfill(output: Output, [name = '', text = '']: Args): Promise<void> {
  const rate = text === 'off' ? null : toRate(text);
  const told = rate === null ? `${name} goes as fast as it can.` : `${name} brings at most ${rate} commands a second.`;
  await steer(output, name, told, (run) =>
    run.executeUpdate<BackfillRun | null, [number | null]>('throttle', { args: [rate] }),
  );
}

type Ask = (run: BackfillHandle) => Promise<BackfillRun | null>;

// Whoever asks wants to know whether it was heard; a worker that is away hears it when it is back.
const ANSWER_MS_MAX = 15_000;

async function steer(output: Output, name: string, told: string, ask: Ask): Promise<void> {
  declared(name);
  await withBackfills(async ({ temporal, idPrefix }) => {
    const handle = findBackfill({ temporal, idPrefix }, name);
    const run = await temporal.withDeadline(Date.now() + ANSWER_MS_MAX, () => answerOf(name, ask(handle)));
    output.result({ backfill: run }, () => [told]);
  });
}

async function answerOf(name: string, asked: Promise<BackfillRun | null>): Promise<BackfillRun | null> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) {
      throw new CliFailure('not_running', `${name} does not run`, `See 'reprise backfill status ${name}'.`);
    }
    if (error instanceof WorkflowUpdateRPCTimeoutOrCancelledError) {
      throw new CliFailure(
        'no_answer',
        `no worker has answered for ${ANSWER_MS_MAX / 1000} s; it is done once one does`,
        "Does 'reprise worker backfill' run?",
      );
    }
    if (error instanceof WorkflowUpdateFailedError && error.cause instanceof ApplicationFailure) {
      throw new CliFailure(error.cause.type ?? 'failed', error.cause.message);
    }
    throw error;
  }
}

function declared(name: string): Backfill {
  const backfills = loadBackfills(findContext().project);
  const found = backfills.find((one) => one.name === name);
  if (found) return found;
  const known = backfills.map((one) => one.name).join(', ');
  throw new CliFailure('usage', `the project has no backfill '${name}'`, `It has: ${known || 'none'}`, 2);
}

function fileFor({ name, source }: Backfill, options: Options): string | null {
  const file = typeof options['file'] === 'string' ? options['file'] : null;
  if (source.kind === 'sql') {
    if (file === null) return null;
    throw new CliFailure('usage', `${name} reads a query, not a file`, 'Leave out --file.', 2);
  }
  if (file !== null && file !== '') return resolve(file);
  throw new CliFailure('usage', `${name} reads ${source.kind}, from a file`, 'Name it: --file F', 2);
}

const RATE_MAX = 1_000_000;

function toRate(text: string): number {
  const rate = Number(text);
  if (/^\d+$/.test(text) && rate >= 1 && rate <= RATE_MAX) return rate;
  throw new CliFailure('usage', `'${text}' is no rate`, `A whole number of commands a second, 1 to ${RATE_MAX}.`, 2);
}

interface Parts {
  readonly temporal: Client;
  readonly idPrefix: string;
  /** Login `reprise_read`. */
  readonly db: Pool;
}

async function withBackfills(work: (parts: Parts) => Promise<void>): Promise<void> {
  const context = findContext();
  const { idPrefix } = context;
  const db = openPool({ url: context.urlOf('read'), max: 1, applicationName: 'reprise-cli' });
  const connection = await connectTemporal(context.temporal.connection);
  try {
    await work({ temporal: new Client({ connection, namespace: context.temporal.namespace }), idPrefix, db });
  } finally {
    await connection.close();
    await db.end();
  }
}
