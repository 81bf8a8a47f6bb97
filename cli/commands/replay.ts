import type { Pool } from 'pg';
import { count, timeLeft } from '../../activities/replay/look';
import {
  countReplayWorkers,
  findReplay,
  ReplayRunning,
  startReplay,
  type ReplayDoor,
  type StartedReplay,
} from '../../client/replay';
import { readReplayPlan } from '../../db/replay-plan';
import { readReplays, type ReplayStatus } from '../../db/replays';
import type { Projection } from '../../model/projection';
import { findContext, loadModel } from '../context';
import { CliFailure, toFailure } from '../failure';
import { table, type Output } from '../output';
import { projectionOf, withDoor } from '../replay/door';
import { tellEnding } from '../replay/ending';
import { standsStill } from '../replay/line';
import { wrong } from '../replay/parse';
import { planChosen, planLines, planReplay, undeclared, whyNotChosen, type Rehearsed } from '../replay/plan';
import { selectionFor } from '../replay/selection';
import { readStartOptions, type StartOptions } from '../replay/start-options';
import { watchReplay } from '../replay/watch';
import { withDb } from '../with-db';

type Args = readonly string[];
type Options = Record<string, unknown>;

/** One replay per projection that is named; then watched, unless it is to be left alone. */
export async function startReplays(output: Output, names: Args, options: Options): Promise<void> {
  const model = loadModel(findContext().project);
  const projections = [...new Set(names)].map((name) => projectionOf(name, model));
  const asked = readStartOptions(options, projections.length);
  for (const projection of projections) selectionFor(projection, asked.selection);
  if (options['dryRun'] === true) return tellPlans(output, projections, asked);
  await withDb('read', async (db) => {
    const since = await checkStartable(db, projections, asked);
    const started = await withDoor(db, async (door) => {
      if ((await countReplayWorkers(door)) === 0) output.note(NO_WORKER);
      return startAll(door, projections, asked);
    });
    if (output.json || options['detach'] === true) {
      return output.result({ started }, () => started.flatMap(({ projection }) => startedLines(projection)));
    }
    const detached = untilSignal();
    for (const { name } of projections) await watchOne(output, db, { name, since: since.get(name) ?? 0, detached });
  });
}

async function tellPlans(output: Output, projections: readonly Projection[], asked: StartOptions): Promise<void> {
  const plans: Rehearsed[] = [];
  await withDb('read', (read) =>
    withDb('owner', async (owner) => {
      for (const projection of projections) {
        const plan = await planReplay({ read, owner }, projection, asked);
        checkSlices(asked, plan.partitions);
        plans.push(plan);
      }
    }),
  );
  output.result({ dry_run: true, plans }, () => plans.flatMap(planLines));
}

/** The newest generation of each, so that what is started is told from what was before. */
async function checkStartable(
  db: Pool,
  projections: readonly Projection[],
  asked: StartOptions,
): Promise<ReadonlyMap<string, number>> {
  const newest = new Map<string, number>();
  for (const projection of projections) {
    const plan = await readReplayPlan(db, projection);
    checkSlices(asked, plan.partitions);
    const [refused] = undeclared(plan, projection);
    if (refused) throw new CliFailure('not_declared', `${projection.name}: ${refused}`, "Run 'reprise migrate'.");
    const [pointless] = whyNotChosen(await planChosen(db, projection, asked.selection));
    if (pointless) throw new CliFailure('replay_refused', `${projection.name}: ${pointless}`);
    const [last] = await readReplays(db, projection.name, 1);
    newest.set(projection.name, last?.generation ?? 0);
  }
  return newest;
}

function checkSlices({ slices }: StartOptions, partitions: number): void {
  if (slices > partitions) throw wrong(`--slices ${slices}: the log has ${partitions} partitions`, 'At most one each.');
}

const NO_WORKER = "no worker of replays is up: start one with 'reprise worker replay'";

/** All of them, or none: one that runs already is met before any is started. */
async function startAll(
  door: ReplayDoor,
  projections: readonly Projection[],
  asked: StartOptions,
): Promise<StartedReplay[]> {
  for (const { name } of projections) {
    const running = await findReplay(door, name);
    if (running) throw new ReplayRunning(running);
  }
  const started: StartedReplay[] = [];
  for (const projection of projections) {
    const { name, version } = projection;
    const selection = selectionFor(projection, asked.selection);
    started.push(await startReplay(door, { ...asked, selection, projection: name, declaredVersion: version }));
  }
  return started;
}

const startedLines = (projection: string): string[] => [
  `${projection} is being built again. Watch it: 'reprise replay watch ${projection}'`,
];

export async function watchReplayCommand(output: Output, [name = '']: Args): Promise<void> {
  projectionOf(name);
  await withDb('read', (db) => watchOne(output, db, { name, since: -1, detached: untilSignal() }));
}

/** Ctrl-C leaves a replay alone: only whoever watches goes. */
function untilSignal(): AbortSignal {
  const abort = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => abort.abort());
  return abort.signal;
}

interface ToWatch {
  readonly name: string;
  readonly since: number;
  readonly detached: AbortSignal;
}

async function watchOne(output: Output, db: Pool, { name, since, detached }: ToWatch): Promise<void> {
  const watch = (door: ReplayDoor | null) => watchReplay({ db, door, projection: name, since }, output, detached);
  const sight = await withDoor(db, watch).catch((error: unknown) => {
    if (toFailure(error).code !== 'unreachable') throw error;
    output.note('Temporal does not answer: this is what the tables say');
    return watch(null);
  });
  tellEnding(output, name, sight);
}

/** Those that run, or the newest of the one that is named. From the tables: also while Temporal or the worker is down. */
export async function replayStatus(output: Output, [name]: Args): Promise<void> {
  if (name !== undefined) projectionOf(name);
  await withDb('read', async (db) => {
    const replays = await readReplays(db, name ?? null, name === undefined ? undefined : 1);
    tellReplays(output, name === undefined ? replays.filter(({ ended }) => ended === null) : replays);
  });
}

/** The newest ones, ended or not. */
export async function listReplays(output: Output): Promise<void> {
  await withDb('read', async (db) => tellReplays(output, await readReplays(db, null)));
}

function tellReplays(output: Output, replays: readonly ReplayStatus[]): void {
  const told = replays.map(({ report, ...status }) => ({
    ...status,
    reported: report !== null,
    stands_still: standsStill(status),
  }));
  output.result({ replays: told }, () => [...table(replays.map(row)), ...replays.filter(standsStill).map(stillLine)]);
}

const row = (status: ReplayStatus) => ({
  projection: status.projection,
  generation: status.generation,
  phase: status.phase,
  wanted: status.ended === null ? status.wanted : null,
  done: status.done,
  total: status.total,
  per_second: status.per_second === null ? null : Math.round(status.per_second),
  rate: status.rate,
  slowed: status.bounded_by,
  left: status.seconds_left === null ? null : timeLeft(status.seconds_left),
  parked: status.parked,
  began: status.began,
  error: status.error,
});

const stillLine = ({ projection, still_seconds }: ReplayStatus): string =>
  `${projection} has not moved for ${count(still_seconds ?? 0)} s: is a worker of replays up ('reprise worker replay')?`;
