import type { Pool } from 'pg';
import type { RecordedEvent } from '../../contracts/event';
import type { Model } from '../../model/model';
import type { AnyReaction } from '../../model/reaction';
import type { Room } from '../tail';
import { countOpen, readAhead, withRow } from './limit-rows';
import { entityKey } from './rows';
import type { Starter } from './start';

export interface ReactionRoom extends Room {
  /** Of events that start one, in order: those that may be started now. The others are later. */
  readonly take: <Event extends RecordedEvent>(
    starting: readonly Event[],
    how: { readonly redriven: boolean },
  ) => Promise<readonly Event[]>;
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

/** A reaction's limits: a rate of starts, and of processes how many are open. What has its row already was let in before. */
export function makeRoom({ db, model, reaction, starter }: RoomPorts): ReactionRoom {
  const { limits, process } = reaction;
  const rate = limits.perSecond === undefined ? null : makeRate(limits.perSecond);
  const openMax = process && limits.concurrent !== undefined ? limits.concurrent : null;
  const least = rate && openMax === null ? rate.least : 1;
  const isLimited = rate !== null || openMax !== null;
  const later = new Set<string>();
  const standing = new Set<number>();
  const told = new Set<string>();
  let known = 0; // how many of those taken last need no room

  return { isLater: (event) => later.has(entityKey(event)), standing, look, take, used };

  async function left(): Promise<number> {
    const ofRate = rate === null ? Infinity : rate.left(Date.now());
    const ofOpen = openMax === null ? Infinity : openMax - (await countOpen(db, reaction.name, openMax));
    return Math.max(0, Math.min(ofRate, ofOpen));
  }

  async function take<Event extends RecordedEvent>(starting: readonly Event[], how: { readonly redriven: boolean }) {
    later.clear();
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
      if (!how.redriven) standing.add(event.partition);
      return false;
    });
    known = taken.filter((event) => there.has(entityKey(event))).length;
    return taken;
  }

  function used(count: number): void {
    rate?.use(Date.now(), count - known);
  }

  async function look(): Promise<boolean> {
    const isThere = (await left()) >= least;
    if (isThere) standing.clear();
    else if (openMax !== null) await tellAhead();
    return isThere;
  }

  /** What those wait for that are open may lie behind what waits for them to end. */
  async function tellAhead(): Promise<void> {
    const takes = process?.takes ?? [];
    if (takes.length === 0) return;
    if (told.size > TOLD_MAX) told.clear(); // a repeat is recognised
    for (const { event, startedAt } of await readAhead(db, reaction, takes)) {
      const key = `${startedAt} of ${entityKey(event)}`;
      const contract = model.event(event.type);
      // What only newer code knows is told when the checkpoint has come to it.
      if (told.has(key) || !contract || event.schemaVersion > contract.version) continue;
      await starter.tell(model.lift(event));
      told.add(key);
    }
  }
}

interface Rate {
  readonly left: (now: number) => number;
  readonly use: (now: number, count: number) => void;
  /** It is not worth looking at the log for less. */
  readonly least: number;
}

const SECOND = 1_000;

/** No more than `perSecond` in any second; below one a second, one in any so many. */
export function makeRate(perSecond: number): Rate {
  const max = Math.max(1, Math.floor(perSecond));
  const windowMs = (SECOND * max) / perSecond;
  const uses: { readonly at: number; readonly count: number }[] = [];
  return {
    least: Math.ceil(max / 5),
    left: (now) => {
      while (uses[0] && uses[0].at <= now - windowMs) uses.shift();
      return uses.reduce((room, { count }) => room - count, max);
    },
    use: (now, count) => void (count > 0 && uses.push({ at: now, count })),
  };
}
