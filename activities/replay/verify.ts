import type { Pool } from 'pg';
import { isPartial, movePhase } from '../../db/replays';
import type { Build, Tolerance, Verdict } from '../../workflows/replay';
import { errorText } from '../error-text';
import type { ReplayPorts } from '../replay';
import type { InsideConsumer } from '../tail';
import type { Turn } from '../tail/chunk';
import { StandsStill, withTurn } from './catch-up';
import { compareColumns, readComparedTable } from './columns';
import { ALL, compareTables, readRangeEnd, type Compared, type Differences, type Scope } from './compare';
import { foldOf, readGenerations, type BuiltAndActive } from './generations';
import { NeverMet, NotNow, whileActiveStands } from './hold-active';
import { eventsBefore, lackOf, readPlaces } from './places';
import { addUp, judge, NOTHING, shareOf, type Report } from './report';
import { beginTogether, withPair, type Pair } from './snapshot';
import { keysOf, readApart, type Apart } from './standing-apart';

export interface Verification {
  readonly tolerance: Tolerance;
  readonly accept: boolean;
}

/** For tests: how long a statement may take, which is about as long as a snapshot is held, and where ranges begin. */
export interface VerifyBounds {
  readonly statementMs: number;
  readonly rangeRows: number;
}

const BOUNDS: VerifyBounds = { statementMs: 10_000, rangeRows: 500_000 };
const RANGE_ROWS_MIN = 1_000;

/**
 * Brings what is built to exactly where the active generation is, and compares the two there. The active one is held still
 * only until both are seen in one snapshot. A second run does it all again.
 */
export async function verify(
  ports: ReplayPorts,
  build: Build,
  how: Verification,
  bounds: VerifyBounds = BOUNDS,
): Promise<Verdict> {
  const { db } = ports;
  const generations = await readGenerations(db, build);
  await movePhase(db, build, { phase: 'verifying' });
  try {
    const report = await withTurn(ports, build, generations, (turn) => compare(ports, turn, generations, bounds));
    const changedCode = generations.built.declaredVersion !== generations.active.declaredVersion;
    const mayDiffer = changedCode || (await isPartial(db, build));
    const verdict = judge(report, { ...how, mayDiffer });
    await movePhase(db, build, {
      phase: verdict.passed ? 'verified' : 'different',
      report: { summary: verdict.summary, ...report },
    });
    return verdict;
  } catch (error) {
    return notCompared(db, build, error);
  }
}

/** What a person can mend is an answer; anything else is tried again. */
async function notCompared(db: Pool, build: Build, error: unknown): Promise<Verdict> {
  if (!(error instanceof StandsStill) && !(error instanceof NeverMet && error.cause instanceof Ahead)) throw error;
  const summary = `not compared: ${errorText(error)}`;
  await movePhase(db, build, { phase: 'different', report: { summary } });
  return { passed: false, summary };
}

/** What is built has passed the active one, whose consumer must come first. */
class Ahead extends NotNow {}

async function compare(
  { db, readDb, model }: ReplayPorts,
  turn: Turn<InsideConsumer>,
  generations: BuiltAndActive,
  bounds: VerifyBounds,
): Promise<Report> {
  const startedAt = performance.now();
  const { consumer, generation } = turn.consumer;
  const [active, built] = await Promise.all([
    readComparedTable(db, generations.active.tableName),
    readComparedTable(db, generations.built.tableName),
  ]);
  const { shared, ...columns } = compareColumns(active, built);
  const { oneEntityPerRow } = foldOf(model, { consumer, generation }, generations.built);
  const comparing: Comparing = { turn, generations, oneEntityPerRow, bounds, compared: { active, built, shared } };
  const { found, apart, at, parts } = await withPair(readDb, (pair) => compareInParts(pair, comparing));
  const { rows: comparedRows, ...differences } = found;
  const seconds = (performance.now() - startedAt) / 1_000;
  return { comparedRows, ...differences, share: shareOf(found), ...apart, columns, vectorAt: at, parts, seconds };
}

interface Comparing {
  readonly turn: Turn<InsideConsumer>;
  readonly generations: BuiltAndActive;
  readonly oneEntityPerRow: boolean;
  readonly bounds: VerifyBounds;
  readonly compared: Compared;
}

/** Of one part: what was found, and where both stood. */
interface Part {
  readonly found: Differences;
  readonly apart: Apart;
  readonly at: Report['vectorAt'];
}

/** All at once where that takes seconds; else by ranges of keys, each in a snapshot of its own, so that none is held long. */
async function compareInParts(pair: Pair, comparing: Comparing): Promise<Part & { readonly parts: number }> {
  const whole = await tryPart(pair, comparing, ALL);
  if (whole) return { ...whole, parts: 1 };
  let found = NOTHING;
  for (let parts = 1, after: string | null = null, { rangeRows } = comparing.bounds; ; parts++) {
    const { part, upTo, rows } = await nextRange(pair, comparing, { after, rows: rangeRows });
    found = addUp(found, part.found);
    if (upTo === null) return { ...part, found, parts };
    after = upTo;
    rangeRows = rows;
  }
}

interface Range {
  readonly after: string | null;
  readonly rows: number;
}

/** As many rows as can be compared within the bound: the range that was tried last is the size of the next. */
async function nextRange(
  pair: Pair,
  comparing: Comparing,
  { after, rows }: Range,
): Promise<{ readonly part: Part; readonly upTo: string | null; readonly rows: number }> {
  const { turn, compared, bounds } = comparing;
  turn.signal.throwIfAborted();
  const upTo = await readRangeEnd(pair.active, compared, after, rows);
  const part = await tryPart(pair, comparing, { after, upTo });
  if (part) return { part, upTo, rows };
  if (rows <= RANGE_ROWS_MIN) throw new Error(`${rows} rows take more than ${bounds.statementMs} ms to compare`);
  return nextRange(pair, comparing, { after, rows: Math.max(RANGE_ROWS_MIN, Math.ceil(rows / 4)) });
}

/** One meeting, one snapshot. Null: it took too long. */
async function tryPart(pair: Pair, comparing: Comparing, range: Omit<Scope, 'without'>): Promise<Part | null> {
  const { turn, generations, compared, oneEntityPerRow } = comparing;
  const { consumer } = turn.consumer;
  const at = await meet(pair, comparing);
  turn.heartbeat({ comparing: range });
  try {
    const apart = await readApart(pair.active, turn.consumer, generations.active);
    const without = keysOf(apart.parkedLive, oneEntityPerRow);
    return { found: await compareTables(pair, compared, { ...range, without }), apart, at };
  } catch (error) {
    if ((error as { code?: unknown }).code !== QUERY_CANCELED) throw error;
    return null;
  } finally {
    turn.heartbeat({ compared: consumer });
    await Promise.all([pair.active.query('rollback'), pair.built.query('rollback')]);
  }
}

const QUERY_CANCELED = '57014';

/** Both stand at one place while the pair begins to look: then the active one goes on, and the pair still sees that place. */
async function meet(pair: Pair, { turn, generations, bounds }: Comparing): Promise<Report['vectorAt']> {
  const { consumer } = turn.consumer;
  const active = { consumer, generation: generations.active.generation };
  const target = () => readPlaces(turn.db, active);
  return whileActiveStands(turn, { target }, async (_locks, at) => {
    if (lackOf(at, await readPlaces(turn.db, turn.consumer)).length > 0) {
      throw new Ahead(
        'the active generation is behind what was built, and its consumer does not come: start its worker',
      );
    }
    await beginTogether(pair, bounds.statementMs);
    const [seen, built] = [await readPlaces(pair.active, active), await readPlaces(pair.built, turn.consumer)];
    if (lackOf(seen, built).length > 0 || lackOf(built, seen).length > 0) {
      throw new Error(`${consumer}: the snapshot shows the two generations at different places`);
    }
    return { events: eventsBefore(seen), at: new Date().toISOString() };
  });
}
