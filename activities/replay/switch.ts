import { setTimeout } from 'node:timers/promises';
import { DatabaseError, type Pool, type PoolClient } from 'pg';
import { isLockTrouble } from '../../db/errors';
import { withTransaction } from '../../db/pool';
import { movePhase } from '../../db/replays';
import { GENERATIONS_NEWS, WAKE_CHANNEL } from '../../db/wake';
import { projectionOfConsumer } from '../../workflows/names';
import type { Build } from '../../workflows/replay';
import type { ReplayPorts } from '../replay';
import { endTurn } from '../tail/checkpoints';
import { pause } from '../pause';
import { StandsStill, withTurn } from './catch-up';
import { readGenerations, refused } from './generations';
import { count } from './look';
import { NeverMet, NotNow, whileActiveStands } from './hold-active';
import { lackOf, lockActive, readHeads, readPlaces, sumOf, type Places } from './places';

const ATTEMPTS_MAX = 8;
const PAUSE_MS = 50;
const PAUSE_MS_MAX = 2_000;

// A standby that is fed is milliseconds behind; one that is not does not come however long is waited.
const STANDBY_MS_MAX = 5_000;
const STANDBY_LOCKED_MS_MAX = 2_000;
const LOOK_MS = 20;

const NO_SUCH = 'RP101';
const BEHIND = 'RP102';
const PARKED = 'RP103';
const NOT_FITTING = 'RP104';
const DEPENDED_ON = '2BP01';

/**
 * Puts what was built in the place of the active generation, and answers that one, which stands by. A second run after a
 * crash finds it done.
 */
export async function switchOver(
  ports: ReplayPorts,
  build: Build,
  { reshape }: { readonly reshape: boolean },
): Promise<number> {
  const { db } = ports;
  const generations = await readGenerations(db, build);
  if (generations.built.status === 'active') return readReplaced(db, build);
  // Verified, it may pass the active one: the nearer to the heads it begins, the less its readers wait for.
  const target = () => readHeads(db);
  try {
    return await withTurn(ports, build, generations, (turn) =>
      whileActiveStands(turn, { target }, async (tx) => {
        await endTurn(db, build, turn.epoch);
        const old = await switchTo(tx, build.consumer, { generation: build.generation, reshape });
        await noteSwitched(tx, build, old);
        return old;
      }),
    );
  } catch (error) {
    throw asRefusal(error, build);
  }
}

/** Gives the place back to a generation that stood by and was fed. A second run finds it done. */
export async function rollBack({ db, heartbeat, signal }: ReplayPorts, build: Build, to: number): Promise<void> {
  const until = signal();
  const { consumer } = build;
  const standby = { consumer, generation: to };
  const { status } = (await readGenerations(db, standby)).built;
  if (status === 'active') return movePhase(db, build, { phase: 'rolled-back' });
  if (status !== 'standby') throw refused(`generation ${to} of ${consumer} is ${status}: there is no way back to it`);
  const back = (reshape: boolean) =>
    tryAgain({ signal: until, heartbeat }, () =>
      withTransaction(db, async (tx) => {
        await comesTo(db, standby, await lockActive(tx, consumer), STANDBY_LOCKED_MS_MAX);
        await switchTo(tx, consumer, { generation: to, reshape });
        await movePhase(tx, build, { phase: 'rolled-back' });
      }),
    );
  try {
    await comesTo(db, standby, await readPlaces(db, build), STANDBY_MS_MAX);
    // What the new columns were allowed to change, the old ones change back.
    await back(false).catch((error: unknown) => {
      if (codeOf(error) !== NOT_FITTING) throw error;
      return back(true);
    });
  } catch (error) {
    throw asRefusal(error, standby);
  }
}

/** Removes a generation that nobody reads, and ends the replay; `phase` null keeps what it has come to. A second run finds nothing. */
export async function drop(
  { db, heartbeat, signal }: ReplayPorts,
  build: Build,
  { generation, phase }: { readonly generation: number; readonly phase: 'dropped' | 'cancelled' | null },
): Promise<void> {
  try {
    await tryAgain({ signal: signal(), heartbeat }, () =>
      withTransaction(db, async (tx) => {
        await tx.query('select reprise.drop_generation($1::text, $2::integer)', [build.consumer, generation]);
        await endReplay(tx, build, phase);
      }),
    );
  } catch (error) {
    throw asRefusal(error, { ...build, generation });
  }
}

async function switchTo(
  tx: PoolClient,
  consumer: string,
  { generation, reshape }: { readonly generation: number; readonly reshape: boolean },
): Promise<number> {
  const { rows } = await tx.query<{ old: number }>(
    'select reprise.switch_generation($1::text, $2::integer, $3::boolean) as old',
    [consumer, generation, reshape],
  );
  // With the commit, and seldom: whoever feeds generations looks at once, not at its next look.
  await tx.query('select pg_notify($1::text, $2::text)', [WAKE_CHANNEL, GENERATIONS_NEWS]);
  return rows[0]?.old ?? 0;
}

/** With the switch, so that a second run knows which of several that stand by it was. */
async function noteSwitched(tx: PoolClient, { consumer, generation }: Build, old: number): Promise<void> {
  await tx.query(
    `update reprise.replays
     set phase = 'switched', error = null, moved_at = clock_timestamp(),
         report = coalesce(report, '{}') || jsonb_build_object('replaced', $3::integer)
     where consumer = $1::text and generation = $2::integer`,
    [consumer, generation, old],
  );
}

async function readReplaced(db: Pool, { consumer, generation }: Build): Promise<number> {
  const { rows } = await db.query<{ replaced: number | null }>(
    `select (report ->> 'replaced')::integer as replaced from reprise.replays
     where consumer = $1::text and generation = $2::integer`,
    [consumer, generation],
  );
  const replaced = rows[0]?.replaced;
  if (!replaced) throw refused(`generation ${generation} of ${consumer} is active, and no replay put it there`);
  return replaced;
}

async function endReplay(tx: PoolClient, { consumer, generation }: Build, phase: string | null): Promise<void> {
  await tx.query(
    `update reprise.replays
     set phase = coalesce($3::text, phase), ended_at = coalesce(ended_at, clock_timestamp()), moved_at = clock_timestamp()
     where consumer = $1::text and generation = $2::integer`,
    [consumer, generation, phase],
  );
}

/** The standby's own consumer brings it there. */
async function comesTo(db: Pool, standby: Build, to: Places, msMax: number): Promise<void> {
  for (const end = performance.now() + msMax; ;) {
    const lacking = sumOf(lackOf(await readPlaces(db, standby), to));
    if (lacking === 0) return;
    if (performance.now() > end) throw new NotThere(standby, lacking);
    await setTimeout(LOOK_MS);
  }
}

class NotThere extends NotNow {
  constructor({ generation }: Build, lacking: number) {
    super(
      `generation ${generation} is ${count(lacking)} events behind the active one: ` +
        'it comes only while a worker of its declared version runs',
    );
  }
}

/** Locks that others hold for long, and a standby that is late, are waited for a bounded number of times. */
async function tryAgain(
  { signal, heartbeat }: { readonly signal: AbortSignal; readonly heartbeat: (details: unknown) => void },
  work: () => Promise<void>,
): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    signal.throwIfAborted();
    heartbeat({ attempt });
    try {
      return await work();
    } catch (error) {
      const again = isLockTrouble(error) || error instanceof NotNow;
      if (!again || attempt === ATTEMPTS_MAX) throw error;
    }
    await pause(Math.min(PAUSE_MS * 2 ** attempt, PAUSE_MS_MAX), signal);
  }
}

const codeOf = (error: unknown): string | undefined => (error instanceof DatabaseError ? error.code : undefined);

/** What stays as it is until somebody does something, with what that is. Anything else is tried again. */
function asRefusal(error: unknown, { consumer, generation }: Build): unknown {
  const name = projectionOfConsumer(consumer);
  const { message } = error as Error;
  if (error instanceof StandsStill || error instanceof NotThere) return refused(message, error);
  if (error instanceof NeverMet) return refused(`${message}: ask again when less is going on`, error);
  switch (codeOf(error) ?? '') {
    case NO_SUCH:
    case BEHIND:
      return refused(message, error);
    case PARKED:
      return refused(`${message}: skip or redrive them ('reprise parked show ${consumer}'), and ask again`, error);
    case NOT_FITTING:
      return refused(`${message}. Start the replay with --reshape to let the columns of read.${name} change`, error);
    case DEPENDED_ON:
      return refused(
        `something depends on read.${name}, which must be made again for generation ${generation}: ${message}`,
        error,
      );
    default:
      return error;
  }
}
