import { setTimeout } from 'node:timers/promises';
import type { Pool } from 'pg';
import { askReplay, findReplay, NoReplay, readReplayState, ReplaySilent, type ReplayDoor } from '../../client/replay';
import { readReplays } from '../../db/replays';
import type { Asked, ReplayState } from '../../workflows/replay';
import { confirm } from '../confirm';
import { CliFailure } from '../failure';
import { makeMovingLine } from '../moving-line';
import type { Output } from '../output';
import { projectionOf, withDoor } from '../replay/door';
import { NEXT, notRunning } from '../replay/ending';
import { PHASES } from '../replay/line';
import { countLines, isReport, reportLines } from '../replay/report';
import { withDb } from '../with-db';

type Args = readonly string[];
type Options = Record<string, unknown>;
type Stage = ReplayState['stage'];

export const verifyReplay = (output: Output, [name = '']: Args): Promise<void> => askAndTell(output, name, 'verify');
export const switchReplay = (output: Output, [name = '']: Args): Promise<void> => askAndTell(output, name, 'switch');
export const rollbackReplay = (output: Output, [name = '']: Args): Promise<void> =>
  askAndTell(output, name, 'rollback');

/** Shows what differs first: it is that which is accepted. */
export const acceptReplay = (output: Output, [name = '']: Args, options: Options): Promise<void> =>
  askAndTell(output, name, 'accept', async (db, { verdict }) => {
    const [newest] = await readReplays(db, name, 1);
    const lines = isReport(newest?.report) ? countLines(newest.report) : [verdict?.summary ?? 'nothing was compared'];
    for (const line of lines) output.note(line);
    await confirm(`Accept these differences of ${name}? It is verified again, and may then be switched.`, options);
  });

export const dropReplay = (output: Output, [name = '']: Args, options: Options): Promise<void> =>
  askAndTell(output, name, 'drop', async (_db, { stage, build }) => {
    const question =
      stage === 'switched'
        ? `Remove the generation of ${name} that stands by? Then there is no rollback.`
        : `Remove what the replay of ${name} built${build ? `, generation ${build.generation}` : ''}? Readers see no difference.`;
    await confirm(question, options);
  });

/** What the last verification found. */
export async function showReport(output: Output, [name = '']: Args): Promise<void> {
  projectionOf(name);
  await withDb('read', async (db) => {
    for (const { generation, phase, report } of await readReplays(db, name)) {
      if (!isReport(report)) continue;
      return output.result({ projection: name, generation, phase, report }, () => [
        `${name}, generation ${generation}: ${PHASES[phase]}`,
        ...reportLines(report),
      ]);
    }
    throw new CliFailure('no_report', `no replay of '${name}' was verified`, `See 'reprise replay status ${name}'.`);
  });
}

type Ask = (db: Pool, state: ReplayState) => Promise<void>;

async function askAndTell(output: Output, name: string, asked: Asked, before?: Ask): Promise<void> {
  projectionOf(name);
  await withDb('read', (db) =>
    withDoor(db, async (door) => {
      if (!(await findReplay(door, name))) throw notRunning(name);
      if (before) await before(db, await readReplayState(door, name));
      await askReplay(door, name, asked);
      tell(output, name, asked, await settled(output, door, name));
    }),
  );
}

// Verifying and switching end on their own; whoever waits longer than this watches.
const SETTLED_MS_MAX = 15 * 60_000;
const LOOK_MS = 300;
const BUSY: ReadonlySet<Stage> = new Set(['filling', 'verifying', 'switching', 'rolling-back']);

/** Where it stands once it has done what it was asked. */
async function settled(output: Output, door: ReplayDoor, name: string): Promise<ReplayState> {
  const line = makeMovingLine(output);
  try {
    for (const until = Date.now() + SETTLED_MS_MAX; Date.now() < until; await setTimeout(LOOK_MS)) {
      const state = await readReplayState(door, name).catch(notNow);
      if (state && !BUSY.has(state.stage)) return state;
      if (state) line.tell(`${name}  ${state.stage}`);
    }
  } finally {
    line.end();
  }
  throw new CliFailure('still_under_way', `${name} is not done yet`, `Watch it: 'reprise replay watch ${name}'`);
}

/** A worker that is away for a moment comes back, and goes on with what it was asked. */
function notNow(error: unknown): null {
  if (error instanceof ReplaySilent) return null;
  if (error instanceof NoReplay) return null;
  throw error;
}

const DONE: Readonly<Record<Asked, readonly Stage[]>> = {
  verify: ['verified', 'switched', 'ended'],
  accept: ['verified', 'switched', 'ended'],
  switch: ['switched', 'ended'],
  rollback: ['rolled-back'],
  drop: ['ended'],
  cancel: ['ended'],
};

function tell(output: Output, name: string, asked: Asked, { stage, build, verdict }: ReplayState): void {
  const next = isWaiting(stage) ? NEXT[stage](name) : undefined;
  const generation = build?.generation ?? null;
  const summary = verdict?.summary ?? null;
  if (!DONE[asked].includes(stage)) {
    throw new CliFailure(`replay_${stage === 'different' ? stage : 'refused'}`, `${name}: ${summary ?? stage}`, next);
  }
  output.result({ projection: name, stage, generation, summary, next: next ?? null }, () => [
    SAID[stage]?.(name, generation) ?? `${name}: ${summary ?? stage}`,
    ...(next === undefined ? [] : [next]),
  ]);
}

const isWaiting = (stage: Stage): stage is keyof typeof NEXT => Object.hasOwn(NEXT, stage);

const SAID: { readonly [S in Stage]?: (name: string, generation: number | null) => string } = {
  switched: (name, generation) => `read.${name} shows generation ${generation} from now on.`,
  'rolled-back': (name, generation) => `read.${name} shows what it showed before; generation ${generation} is removed.`,
  ended: (name) => `${name}: removed.`,
};
