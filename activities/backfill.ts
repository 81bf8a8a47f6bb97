import { withTransaction } from '../db/pool';
import type { Pool } from 'pg';
import {
  countRehearsed,
  endBackfill,
  forgetRehearsed,
  openBackfill,
  passPage,
  readBackfill,
  readThrough,
  steerBackfill,
  takeBackfill,
  TakenOver,
  type BackfillRun,
  type Taken,
} from '../db/backfills';
import type { CommandMessage } from '../contracts/message';
import type { Backfill } from '../model/backfill';
import type { Model } from '../model/model';
import { partitionOf } from '../model/partition';
import type { BackfillActivities, BackfillInput, BringEnd, Brought, RunEnd } from '../workflows/backfill';
import { makeCommit, type CommitWatch } from './commit';
import { makeRehearsal } from './commit/rehearse';
import type { BackfillPart } from './commit/write';
import { bringPage, type PagePorts } from './backfill/bring-page';
import type { Chunk } from './backfill/chunks';
import type { Item, Reject } from './backfill/map-row';
import { pagesOf, rowsAtOnce } from './backfill/page';
import { toPart } from './backfill/parts';
import { openFile } from './backfill/read-file';
import { openQuery } from './backfill/read-sql';
import { checkRejectsFile, writeRejectsFile } from './backfill/rejects-file';
import { AT_START, BackfillFailed, type OpenSource, type Place } from './backfill/source';
import { Wheel } from './backfill/steer';

export interface BackfillPorts {
  /** Login `reprise_commit`. */
  readonly db: Pool;
  readonly model: Model;
  readonly backfills: readonly Backfill[];
  readonly partitions: number;
  readonly wake: (entityTypes: readonly string[]) => void;
  /** Where the addresses of queries are. */
  readonly env: NodeJS.ProcessEnv;
  readonly watch?: CommitWatch | undefined;
}

/** Of one try. */
export interface Try {
  /** It is to stop: cancelled, or its worker goes. */
  readonly signal: AbortSignal;
  readonly heartbeat: () => void;
}

export interface Backfills extends Omit<BackfillActivities, 'bring'> {
  readonly bring: (input: { readonly run: string }, of: Try) => Promise<Brought>;
}

// As often as this a run's workflow hears how far it is, for Temporal's UI.
const TURN_MS = 5_000;

/** Brings history from elsewhere into the log, through the project's mappings and the one commit there is. */
export function makeBackfills(ports: BackfillPorts): Backfills {
  const { db, partitions } = ports;

  return { openRun, bring, steer, closeRun };

  async function openRun(input: BackfillInput): Promise<BackfillRun> {
    const backfill = declared(ports, input.name);
    const source = await openSource(ports, backfill, input.file);
    try {
      const { total, stamp: fileStamp } = source;
      if (input.rejectsFile !== null) await checkRejectsFile(input.rejectsFile);
      const made = { ...input, source: backfill.source.kind, fileStamp, total, place: AT_START, partitions };
      await withTransaction(db, (tx) => openBackfill(tx, made));
    } finally {
      await source.close();
    }
    return found(await readBackfill(db, input.run));
  }

  async function bring({ run }: { readonly run: string }, of: Try): Promise<Brought> {
    const taken = await withTransaction(db, (tx) => takeBackfill(tx, run));
    if (!taken) throw new TakenOver('this run has ended');
    const { end, note = null } =
      taken.wanted === 'run' ? await bringTurn(ports, run, taken, of) : { end: taken.wanted };
    return { end, note, progress: found(await readBackfill(db, run)) };
  }

  async function steer({ run, ...wish }: Parameters<BackfillActivities['steer']>[0]): Promise<BackfillRun | null> {
    await steerBackfill(db, run, wish);
    return (await readBackfill(db, run)) ?? null;
  }

  async function closeRun({ run, status, error }: RunEnd): Promise<BackfillRun | null> {
    const ended = await readBackfill(db, run);
    if (!ended) return null;
    const unwritten = ended.rejects_file === null ? null : await writeRejects(db, run, ended.rejects_file);
    await withTransaction(db, (tx) => endBackfill(tx, run, { status, error: error ?? unwritten }));
    return found(await readBackfill(db, run));
  }
}

/** What is in the log is in; a disk that is full by now does not take that back. */
async function writeRejects(db: Pool, run: string, path: string): Promise<string | null> {
  try {
    await writeRejectsFile(db, run, path);
    return null;
  } catch (error) {
    const { code = 'unknown' } = error as { code?: string };
    return `the rejects could not be written to ${path} (${code}): they are in reprise.backfill_rejects`;
  }
}

type TurnEnd = { readonly end: BringEnd; readonly note?: string };

/** Page by page from where the run is, until it is in, its turn is over, or somebody wants otherwise. */
async function bringTurn(ports: BackfillPorts, run: string, taken: Taken, of: Try): Promise<TurnEnd> {
  const backfill = declared(ports, taken.name);
  const source = await openSource(ports, backfill, taken.file);
  const wheel = new Wheel(ports.db, run, taken, of.heartbeat);
  const over = new AbortController();
  const watching = wheel.watch(over.signal);
  try {
    if (source.stamp !== taken.file_stamp) throw fileChanged(taken);
    const signal = AbortSignal.any([of.signal, over.signal]);
    const turn = { ports, run, taken, backfill, source, wheel, of: { ...of, signal } };
    return await (taken.dry_run ? rehearseAll(turn) : bringPages(turn));
  } finally {
    over.abort();
    await watching;
    await source.close();
  }
}

interface Turn {
  readonly ports: BackfillPorts;
  readonly run: string;
  readonly taken: Taken;
  readonly backfill: Backfill;
  readonly source: OpenSource;
  readonly wheel: Wheel;
  readonly of: Try;
}

async function bringPages(turn: Turn): Promise<TurnEnd> {
  const { ports, run, taken } = turn;
  const { db, model, partitions, wake, watch } = ports;
  const { epoch, publish } = taken;
  const items = new Map<CommandMessage, Item>();
  const commit = makeCommit({
    ...{ db, model, partitions, wake, watch },
    backfill: {
      published: publish,
      partOf: (batch, outcomes) => {
        const asked = batch.map((message) => items.get(message)).filter((item) => item !== undefined);
        return toPart({ run, epoch, partition: partitionOfBatch(batch, partitions) }, asked, outcomes);
      },
    },
  });
  const bringChunk = async ({ items: chunk }: Chunk) => {
    for (const item of chunk) items.set(item.message, item);
    await commit(chunk.map(({ message }) => message));
    for (const item of chunk) items.delete(item.message);
  };
  const startedAt = performance.now();
  return eachPage(turn, bringChunk, taken.place as Place, async (passed) => {
    await withTransaction(db, (tx) => passPage(tx, { run, epoch, ...passed }));
    return performance.now() - startedAt > TURN_MS ? { end: 'turn-over' } : null;
  });
}

// What a dry run would have committed it keeps in memory, and looks no further than this: some hundred MB.
const REHEARSED_ENTITIES_MAX = 200_000;

/** One turn: what it knows of entities is in memory. An attempt that dies is followed by one from the first row. */
async function rehearseAll(turn: Turn): Promise<TurnEnd> {
  const { ports, run, taken } = turn;
  const { db, model } = ports;
  const { epoch, publish } = taken;
  await withTransaction(db, (tx) => forgetRehearsed(tx, run));
  const rehearsal = makeRehearsal(db, model, { origin: 'backfill', published: publish });
  const parts: BackfillPart[] = [];
  const bringChunk = async ({ partition, items }: Chunk) => {
    const outcomes = await rehearsal.rehearse(items.map(({ message }) => message));
    parts.push(toPart({ run, epoch, partition }, items, outcomes));
  };
  const fromStart = { ...turn, taken: { ...taken, through: new Map<number, number>() } };
  return eachPage(fromStart, bringChunk, AT_START, async ({ rejects, ...passed }) => {
    await withTransaction(db, async (tx) => {
      for (const part of parts) await countRehearsed(tx, part);
      const all = [...rejects, ...parts.flatMap((part) => part.rejects as unknown as readonly Reject[])];
      await passPage(tx, { run, epoch, ...passed, rejects: all });
    });
    parts.length = 0;
    if (rehearsal.size() < REHEARSED_ENTITIES_MAX) return null;
    return {
      end: 'done',
      note: `only the first ${passed.rowsRead} rows were looked at: a dry run keeps its entities in memory`,
    };
  });
}

interface Passed {
  readonly place: Place;
  readonly rowsRead: number;
  readonly rejects: readonly Reject[];
}

async function eachPage(
  turn: Turn,
  bringChunk: PagePorts['bringChunk'],
  from: Place,
  pass: (passed: Passed) => Promise<TurnEnd | null>,
): Promise<TurnEnd> {
  const { ports, run, taken, backfill, source, wheel, of } = turn;
  const { db, model, partitions } = ports;
  const pagePorts: PagePorts = {
    ...{ model, backfill, wheel, bringChunk },
    through: taken.through,
    partitionOf: ({ entityType, entityId }) => partitionOf(entityType, entityId, partitions),
    readThrough: (partition) => readThrough(db, run, partition),
    signal: of.signal,
  };
  const rowsMax = () => rowsAtOnce(wheel.pace.rate);
  let place = from;
  for await (const page of pagesOf(source.rows(from, rowsMax), rowsMax)) {
    const rejects = await bringPage(page, pagePorts);
    if (rejects === null) return { end: wheel.wanted === 'run' ? 'turn-over' : wheel.wanted };
    place = page.rows.at(-1)?.next ?? place;
    const ended = await pass({ place, rowsRead: place.row, rejects });
    if (page.isLast) return ended?.note === undefined ? { end: 'done' } : ended;
    if (ended) return ended;
  }
  return { end: 'done' };
}

function partitionOfBatch([first]: readonly CommandMessage[], partitions: number): number {
  return first ? partitionOf(first.entityType, first.entityId, partitions) : 0;
}

function openSource({ env }: BackfillPorts, { source }: Backfill, file: string | null): Promise<OpenSource> {
  if (source.kind === 'sql') return openQuery(source, env);
  if (file !== null) return openFile(source, file);
  throw new BackfillFailed('source_invalid', 'this backfill reads a file, and none was named');
}

function declared({ backfills }: BackfillPorts, name: string): Backfill {
  const found = backfills.find((one) => one.name === name);
  if (found) return found;
  const known = backfills.map((one) => one.name).join(', ') || 'none';
  throw new BackfillFailed('unknown_backfill', `the backfill worker's code has no backfill '${name}': it has ${known}`);
}

const fileChanged = ({ file, file_stamp }: Taken): BackfillFailed =>
  new BackfillFailed(
    'file_changed',
    `${file} is not what it was when the run began (${file_stamp}): start again, what is in is not brought twice`,
  );

function found(run: BackfillRun | undefined): BackfillRun {
  if (!run) throw new Error('the run has no row');
  return run;
}
