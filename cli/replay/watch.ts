import type { Pool } from 'pg';
import {
  findReplay,
  NoReplay,
  readReplayState,
  ReplaySilent,
  whyReplayFailed,
  type ReplayDoor,
} from '../../client/replay';
import { pause } from '../../activities/pause';
import { kindOf } from '../../db/errors';
import { readReplays, type ReplayStatus } from '../../db/replays';
import type { ReplayState } from '../../workflows/replay';
import { makeMovingLine, type MovingLine } from '../moving-line';
import type { Output } from '../output';
import { watchLine } from './line';

export interface Watched {
  readonly db: Pool;
  /** Null: Temporal does not answer, and the tables tell what they know. */
  readonly door: ReplayDoor | null;
  readonly projection: string;
  /** A replay of an earlier generation that has ended is another one. */
  readonly since: number;
}

/** How a replay is found. What is `moving` or `waiting` is looked at again. */
export type Sight =
  | { readonly kind: 'waiting' | 'absent' }
  | { readonly kind: 'moving' | 'ended'; readonly status: ReplayStatus }
  | {
      readonly kind: 'decision';
      readonly status: ReplayStatus;
      readonly stage: Decision;
      readonly summary: string | null;
    }
  | { readonly kind: 'failed'; readonly why: string };

export type Decision = 'different' | 'verified' | 'refused' | 'switched';

const LOOK_MS = 500;
const AWAY_MS_MAX = 60_000;
// One that has not moved for so long may have lost its workflow.
const STILL_SECONDS = 5;

/** Shows its progress until it has ended or waits for a decision. Null: `signal` came first. */
export async function watchReplay(watched: Watched, output: Output, signal: AbortSignal): Promise<Sight | null> {
  const line = makeMovingLine(output);
  try {
    while (!signal.aborted) {
      const sight = await lookPatiently(watched, line, signal);
      if (!sight) return null;
      if (sight.kind !== 'moving' && sight.kind !== 'waiting') return sight;
      line.tell(
        sight.kind === 'moving' ? watchLine(sight.status) : `${watched.projection}: waits for a worker of replays`,
      );
      await pause(LOOK_MS, signal);
    }
    return null;
  } finally {
    line.end();
  }
}

/** A PostgreSQL that is started again, or fails over, is waited for. */
async function lookPatiently(watched: Watched, line: MovingLine, signal: AbortSignal): Promise<Sight | null> {
  for (const until = Date.now() + AWAY_MS_MAX; !signal.aborted;) {
    try {
      return await lookAtReplay(watched);
    } catch (error) {
      if (kindOf(error) !== 'passing' || Date.now() > until) throw error;
      line.tell(`${watched.projection}: PostgreSQL does not answer`);
    }
    await pause(LOOK_MS, signal);
  }
  return null;
}

async function lookAtReplay(watched: Watched): Promise<Sight> {
  const { door, projection } = watched;
  const status = await readIts(watched);
  if (status?.ended) return { kind: 'ended', status };
  if (status?.phase === 'switched') return { kind: 'decision', status, stage: 'switched', summary: null };
  const decides = status?.phase === 'different' || status?.phase === 'verified' ? status.phase : null;
  if (!door) {
    if (!status) return { kind: 'absent' };
    return decides ? { kind: 'decision', status, stage: decides, summary: null } : { kind: 'moving', status };
  }
  if (status && !decides && (status.still_seconds ?? 0) < STILL_SECONDS) return { kind: 'moving', status };
  if (!(await isOpen(door, projection))) return lost(door, watched);
  if (!status) return { kind: 'waiting' };
  const state = decides ? await stateOf(door, projection) : null;
  const stage = state && isDecision(state.stage) ? state.stage : null;
  if (!stage) return { kind: 'moving', status };
  return { kind: 'decision', status, stage, summary: state?.verdict?.summary ?? null };
}

async function readIts({ db, projection, since }: Watched): Promise<ReplayStatus | undefined> {
  const [newest] = await readReplays(db, projection, 1);
  return newest && (newest.ended === null || newest.generation > since) ? newest : undefined;
}

/** Its workflow is over. With a row that still has no end, or none, it did not end as it should. */
async function lost(door: ReplayDoor, watched: Watched): Promise<Sight> {
  const { projection } = watched;
  const status = await readIts(watched);
  if (status?.ended) return { kind: 'ended', status };
  const why = await whyReplayFailed(door, projection).catch((error: unknown) => {
    if (error instanceof NoReplay) return null;
    if (error instanceof ReplaySilent) return undefined;
    throw error;
  });
  if (why === undefined) return status ? { kind: 'moving', status } : { kind: 'waiting' };
  if (why === null && !status) return { kind: 'absent' };
  return { kind: 'failed', why: why ?? 'its workflow has ended, and it has not' };
}

/** Temporal away for a moment is no news: it is asked again. */
async function isOpen(door: ReplayDoor, projection: string): Promise<boolean> {
  return (await findReplay(door, projection).catch(passing)) !== null;
}

const stateOf = (door: ReplayDoor, projection: string): Promise<ReplayState | null> =>
  readReplayState(door, projection).catch((error: unknown) => {
    passing(error);
    return null;
  });

function passing(error: unknown): undefined {
  if (error instanceof ReplaySilent) return undefined;
  throw error;
}

const DECISIONS: readonly string[] = ['different', 'verified', 'refused', 'switched'] satisfies Decision[];
const isDecision = (stage: string): stage is Decision => DECISIONS.includes(stage);
