import { describeTable } from '../../db/read-model-table';
import type { Build } from '../../workflows/replay';
import { makeProjector } from '../project';
import type { ReplayPorts } from '../replay';
import { CHUNK_EVENTS, chunksOf, type InsideConsumer } from '../tail';
import { applyWithCare } from '../tail/care';
import { endTurn, PARKED_MAX, takeOver } from '../tail/checkpoints';
import type { Turn } from '../tail/chunk';
import { applyOrPark } from '../tail/patience';
import { redriveParked } from '../tail/redrive';
import { NOT_WATCHED } from '../watch';
import { foldOf, refused, type BuiltAndActive } from './generations';
import { lackOf, readPlaces, sumOf, type Lack, type Places } from './places';

/** What is built stands still before what it lacks: paused, stopped by too many parked entities, or behind in code. */
export class StandsStill extends Error {
  override readonly name = 'StandsStill';
}

/**
 * Becomes the owner of what is built, for as long as `work` runs: with the live side's own fold, parking and checkpoints.
 * What an earlier owner may have died of is applied with care first, as far as the active generation is.
 */
export async function withTurn<T>(
  { db, model, heartbeat, signal }: Omit<ReplayPorts, 'readDb'>,
  build: Build,
  { built, active }: BuiltAndActive,
  work: (turn: Turn<InsideConsumer>) => Promise<T>,
): Promise<T> {
  const { generation } = build;
  if (built.status !== 'building') throw refused(`generation ${generation} of ${build.consumer} is ${built.status}`);
  const projection = foldOf(model, build, built);
  const table = await describeTable(db, built.tableName);
  const consumer = makeProjector({ model, projection, generation, table });
  const { epoch, doubtful } = await takeOver(db, consumer);
  const turn = { db, consumer, epoch, parkedMax: PARKED_MAX, signal: signal(), heartbeat, watch: NOT_WATCHED };
  try {
    const before = await readPlaces(db, { ...build, generation: active.generation });
    await applyWithCare({ ...turn, before }, doubtful, CHUNK_EVENTS);
    turn.signal.throwIfAborted();
    return await work(turn);
  } finally {
    await endTurn(db, consumer, epoch).catch(() => undefined);
  }
}

/**
 * Applies what is lacking before these places, and nothing behind them; parked entities that somebody asked for go on too.
 * False: time was up before. Throws `StandsStill` where it may not move.
 */
export async function catchUp(turn: Turn<InsideConsumer>, to: Places, timeIsUp?: AbortSignal): Promise<boolean> {
  const signal = timeIsUp ? AbortSignal.any([turn.signal, timeIsUp]) : turn.signal;
  const bounded = { ...turn, signal, before: to };
  if (!timeIsUp) await redriveParked(bounded);
  for (;;) {
    turn.signal.throwIfAborted();
    const lack = lackOf(await readPlaces(turn.db, turn.consumer), to);
    if (lack.length === 0) return true;
    if (signal.aborted) return false;
    await checkMoves(turn, lack);
    for (const chunk of chunksOf(lack, CHUNK_EVENTS)) {
      if (signal.aborted) break;
      turn.heartbeat({ lacking: sumOf(lack) });
      await applyOrPark(bounded, chunk, CHUNK_EVENTS);
    }
  }
}

async function checkMoves(
  { db, consumer: { consumer, generation } }: Turn<InsideConsumer>,
  lack: readonly Lack[],
): Promise<void> {
  const { rows } = await db.query<{ status: string; error: string | null }>({
    name: 'replay_stands_still',
    text: `select status, error from reprise.checkpoints
           where consumer = $1::text and generation = $2::integer and partition = any($3::smallint[])
             and status <> 'running' limit 1`,
    values: [consumer, generation, lack.map(({ partition }) => partition)],
  });
  const [still] = rows;
  if (still)
    throw new StandsStill(`generation ${generation} stands still (${still.status}): ${still.error ?? 'by hand'}`);
}
