import type { Pool } from 'pg';
import type { RecordedEvent } from '../../contracts/event';
import type { Model } from '../../model/model';
import type { AnyReaction } from '../../model/reaction';
import type { Room } from '../tail';
import { countOpen, readAhead, withRow, type ToldThrough } from './limit-rows';
import { isInvalid } from './invalid';
import { entityKey } from './rows';
import type { Starter } from './start';

export interface ReactionRoom extends Room {
  /** Of events that start one, in order: those that may be started now. The others are later. */
  readonly take: <Event extends RecordedEvent>(
    starting: readonly Event[],
    how: { readonly redriven: boolean },
  ) => Promise<readonly Event[]>;
  /** Of an event behind one that waits in its partition: it comes with each look at that partition. True from its second time on. */
  readonly isToldAgain: (event: RecordedEvent) => boolean;
  /** So many were started. */
  readonly used: (count: number) => void;
}

export interface RoomPorts {
  readonly db: Pool;
  readonly model: Model;
  readonly reaction: AnyReaction;
  readonly starter: Starter;
}

const TOLD_MAX = 10_000;
const PROCESSES_MAX = 1_000;
// Beyond every version: nothing more is told ahead of its turn.
const IN_ITS_TURN = 2 ** 31 - 1;
const POLL_MS = 100;
const POLL_MS_MAX = 2_000;
const POLLS_IN_WINDOW = 10;

/** A reaction's limits: a rate of starts, and of processes how many are open. What has its row already was let in before. */
export function makeRoom({ db, model, reaction, starter }: RoomPorts): ReactionRoom {
  const { limits, process } = reaction;
  const rate = limits.perSecond === undefined ? null : makeRate(limits.perSecond);
  const openMax = process && limits.concurrent !== undefined ? limits.concurrent : null;
  const least = rate && openMax === null ? rate.least : 1;
  const isLimited = rate !== null || openMax !== null;
  const later = new Set<string>();
  const standing = new Set<number>();
  const firstLater = new Map<number, number>(); // by partition, its offset
  const toldEarly = new Set<string>();
  const toldAhead = new Map<string, ToldThrough>();
  let known = 0; // how many of those taken last need no room
  let isFull = false; // of open ones, when last looked at
  let misses = 0;

  return { isLater: (event) => later.has(entityKey(event)), standing, look, pollMs, take, isToldAgain, used };

  async function left(): Promise<number> {
    const ofRate = rate === null ? Infinity : rate.left(Date.now());
    const ofOpen = openMax === null ? Infinity : openMax - (await countOpen(db, reaction.name, openMax));
    isFull = ofOpen <= 0;
    return Math.max(0, Math.min(ofRate, ofOpen));
  }

  async function take<Event extends RecordedEvent>(starting: readonly Event[], how: { readonly redriven: boolean }) {
    later.clear();
    firstLater.clear();
    known = 0;
    if (!isLimited || starting.length === 0) return starting;
    const there = new Set((await withRow(db, reaction.name, starting, how)).map(entityKey));
    let room = await left();
    const taken = starting.filter((event) => {
      if (there.has(entityKey(event))) return true;
      room -= 1;
      if (room >= 0) return true;
      later.add(entityKey(event));
      // A redrive comes again by itself.
      if (!how.redriven) {
        standing.add(event.partition);
        firstLater.set(event.partition, Math.min(event.offset, firstLater.get(event.partition) ?? event.offset));
      }
      return false;
    });
    known = taken.filter((event) => there.has(entityKey(event))).length;
    return taken;
  }

  function used(count: number): void {
    rate?.use(Date.now(), count - known);
  }

  /** It is told once early, and once when the checkpoint moves past it: each look would else be a signal, of 10,000 that a run takes. */
  function isToldAgain(event: RecordedEvent): boolean {
    if (event.offset <= (firstLater.get(event.partition) ?? Infinity)) return false;
    if (toldEarly.has(entityKey(event))) return true;
    if (toldEarly.size >= TOLD_MAX) toldEarly.clear(); // a repeat is recognised
    toldEarly.add(entityKey(event));
    return false;
  }

  async function look(): Promise<boolean> {
    const isThere = (await left()) >= least;
    misses = isThere ? 0 : misses + 1;
    if (isThere) standing.clear();
    else if (openMax !== null) await tellAhead();
    return isThere;
  }

  /** Open ones may wait for days: the longer, the more seldom somebody looks. An event wakes it at once. */
  function pollMs(): number {
    const ms = isFull ? POLL_MS * 2 ** Math.min(misses, 5) : (rate?.windowMs ?? 0) / POLLS_IN_WINDOW;
    return Math.min(POLL_MS_MAX, Math.max(POLL_MS, ms));
  }

  /** What those wait for that are open may lie behind what waits for them to end. */
  async function tellAhead(): Promise<void> {
    const takes = process?.takes ?? [];
    if (takes.length === 0) return;
    if (toldAhead.size > Math.max(PROCESSES_MAX, 2 * (openMax ?? 0))) toldAhead.clear(); // a repeat is recognised
    for (const { event, startedAt, run } of await readAhead(db, reaction, takes, [...toldAhead.values()])) {
      const { entityType, entityId, version } = event;
      const key = `${startedAt}, run ${run}, of ${entityType}/${entityId}`;
      if (toldAhead.get(key)?.through === IN_ITS_TURN) continue;
      const through = (await isToldNow(event)) ? version : IN_ITS_TURN;
      toldAhead.set(key, { entityType, entityId, startedAt, run, through });
    }
  }

  /** False for what only newer code knows, what this code cannot lift, and what Temporal never takes: that is met in its turn. */
  async function isToldNow(event: RecordedEvent): Promise<boolean> {
    const contract = model.event(event.type);
    if (!contract || event.schemaVersion > contract.version) return false;
    const lifted = lift(event);
    if (!lifted) return false;
    try {
      await starter.tell(lifted);
      return true;
    } catch (error) {
      if (isInvalid(error)) return false;
      throw error;
    }
  }

  function lift(event: RecordedEvent): RecordedEvent | null {
    try {
      return model.lift(event);
    } catch {
      return null;
    }
  }
}

interface Rate {
  readonly left: (now: number) => number;
  readonly use: (now: number, count: number) => void;
  /** It is not worth looking at the log for less. */
  readonly least: number;
  readonly windowMs: number;
}

const SECOND = 1_000;

/** No more than `perSecond` in any second; below one a second, one in any so many. */
export function makeRate(perSecond: number): Rate {
  const max = Math.max(1, Math.floor(perSecond));
  const windowMs = (SECOND * max) / perSecond;
  const uses: { readonly at: number; readonly count: number }[] = [];
  return {
    least: Math.ceil(max / 5),
    windowMs,
    left: (now) => {
      while (uses[0] && uses[0].at <= now - windowMs) uses.shift();
      return uses.reduce((room, { count }) => room - count, max);
    },
    use: (now, count) => void (count > 0 && uses.push({ at: now, count })),
  };
}
