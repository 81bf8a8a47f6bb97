import { setTimeout } from 'node:timers/promises';
import type { Pool } from 'pg';
import { count } from '../../activities/replay/look';
import {
  askReplay,
  cancelReplayWorkflow,
  findReplay,
  readReplayState,
  terminateReplay,
  type ReplayDoor,
} from '../../client/replay';
import { controlReplay, movePhase, readBuilding, readReplays, type ReplayStatus } from '../../db/replays';
import { projectionConsumer } from '../../workflows/names';
import type { Build, Control } from '../../workflows/replay';
import { confirm } from '../confirm';
import { CliFailure, toFailure } from '../failure';
import type { Output } from '../output';
import { projectionOf, withDoor } from '../replay/door';
import { notRunning } from '../replay/ending';
import { parseRate } from '../replay/parse';
import { withDb } from '../with-db';

type Args = readonly string[];
type Options = Record<string, unknown>;

export const pauseReplay = (output: Output, [name = '']: Args): Promise<void> =>
  write(
    output,
    name,
    { wanted: 'pause' },
    () => `${name} is filled no further: 'reprise replay resume ${name}' goes on.`,
  );

export const resumeReplay = (output: Output, [name = '']: Args): Promise<void> =>
  write(output, name, { wanted: 'run' }, () => `${name} goes on.`);

export async function throttleReplay(output: Output, [name = '', limit = '']: Args, options: Options): Promise<void> {
  const rate = parseRate(limit);
  const adaptive = options['adaptive'] as boolean | undefined;
  await write(output, name, { rate, ...(adaptive === undefined ? {} : { adaptive }) }, (now) => {
    const most = now.rate === null ? 'at any rate' : `at ${count(now.rate)} events/s at most`;
    return `${name} is filled ${most}${now.adaptive ? ', slower while the live side suffers' : ''}.`;
  });
}

/**
 * Written by the login of replays, which may do nothing to what is live, into the row that whoever fills reads: it holds
 * while Temporal is down.
 */
async function write(
  output: Output,
  name: string,
  control: Control,
  say: (now: ReplayStatus) => string,
): Promise<void> {
  projectionOf(name);
  await withDb('replay', async (db) => {
    const build = await readBuilding(db, projectionConsumer(name));
    if (!build) throw notRunning(name);
    if ((await statusOf(db, name)).wanted === 'cancel') {
      throw new CliFailure(
        'replay_refused',
        `the replay of '${name}' is being cancelled`,
        `See 'reprise replay status'.`,
      );
    }
    if (!(await controlReplay(db, build, control))) throw notRunning(name);
    const now = await statusOf(db, name);
    const { generation, wanted, rate, adaptive } = now;
    output.result({ projection: name, generation, wanted, rate, adaptive }, () => [say(now)]);
  });
}

async function statusOf(db: Pool, name: string): Promise<ReplayStatus> {
  const [status] = await readReplays(db, name, 1);
  if (!status) throw notRunning(name);
  return status;
}

/** Gives up what is built. In its row, so that it holds while Temporal is down; and by Temporal, where it waits there. */
export async function cancelReplay(output: Output, [name = '']: Args, options: Options): Promise<void> {
  projectionOf(name);
  await withDb('replay', async (db) => {
    const build = await readBuilding(db, projectionConsumer(name));
    const what = build ? `remove what it built, generation ${build.generation}` : 'which has not begun';
    await confirm(`Cancel the replay of ${name}, and ${what}? Readers see no difference.`, options);
    const ended = await (build ? cancelBuild(output, db, name, build) : cancelUnbegun(db, name));
    output.result({ projection: name, generation: build?.generation ?? null, cancelled: true, ended }, () => [
      ended ? `${name} is cancelled.` : `${name} is being cancelled: 'reprise replay status ${name}' shows its end.`,
    ]);
  });
}

async function cancelUnbegun(db: Pool, name: string): Promise<boolean> {
  return withDoor(db, async (door) => {
    if (!(await findReplay(door, name))) throw notRunning(name);
    await terminateReplay(door, name, 'cancelled before it began');
    // A worker may just have begun it.
    const build = await readBuilding(db, projectionConsumer(name));
    if (build) await removeLeft(db, build);
    return true;
  });
}

async function cancelBuild(output: Output, db: Pool, name: string, build: Build): Promise<boolean> {
  const { phase } = await statusOf(db, name);
  if (phase === 'filling') await controlReplay(db, build, { wanted: 'cancel' });
  try {
    return await withDoor(db, async (door) => {
      if (await findReplay(door, name)) await tellToEnd(door, name);
      else await removeLeft(db, build);
      return endedWithin(db, name);
    });
  } catch (error) {
    const { code, message } = toFailure(error);
    if (phase !== 'filling' || (code !== 'unreachable' && code !== 'replay_silent')) throw error;
    output.note(`${message}; it is written down, and whoever fills it stops`);
    return false;
  }
}

async function tellToEnd(door: ReplayDoor, name: string): Promise<void> {
  // A verification takes no message: its workflow itself is cancelled, which removes what was built.
  if ((await readReplayState(door, name)).stage === 'verifying') return cancelReplayWorkflow(door, name);
  await askReplay(door, name, 'cancel');
}

/** Its workflow is over and it is not: nobody else would remove it. */
async function removeLeft(db: Pool, build: Build): Promise<void> {
  await db.query('select reprise.drop_generation($1::text, $2::integer)', [build.consumer, build.generation]);
  await movePhase(db, build, { phase: 'cancelled', ended: true });
}

const ENDED_MS_MAX = 15_000;
const LOOK_MS = 200;

async function endedWithin(db: Pool, name: string): Promise<boolean> {
  for (const until = Date.now() + ENDED_MS_MAX; Date.now() < until; await setTimeout(LOOK_MS)) {
    if ((await statusOf(db, name)).ended !== null) return true;
  }
  return false;
}
