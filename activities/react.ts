import type { Model } from '../model/model';
import type { AnyReaction } from '../model/reaction';
import { reactionConsumer } from '../workflows/names';
import { isInvalid } from './react/invalid';
import { entityKey, farBackInLine, noteSkipped, openRows, type ReactionRow } from './react/rows';
import { makeRoom } from './react/room';
import type { Starter } from './react/start';
import type { OutsideConsumer } from './tail';
import type { PublishedEvent } from './tail/read-log';
import type { Pool } from 'pg';

export interface ReactorPorts {
  /** A pool logged in as `reprise_react`. */
  readonly db: Pool;
  readonly model: Model;
  readonly reaction: AnyReaction;
  readonly starter: Starter;
  /** Reactions that caused one another, at most. Default 16. */
  readonly depthMax?: number;
}

const DEPTH_MAX = 16;
const STARTS_AT_ONCE = 64;
// A few wake-ups more than needed find a line that Temporal lost; a run takes 10,000.
const WAKES_AHEAD_MAX = 16;
const CHUNK_EVENTS = 1_000;

/** A reaction that was caused by so many others is taken for a loop. */
class Loop extends Error {
  override readonly name = 'Loop';
}

/**
 * A reaction as a consumer of the log. Rows first, committed; then the starts; then the checkpoint. What is seen again finds
 * its row: ended is passed over, open is started again under the same workflow id, which Temporal takes once.
 */
export function makeReactor({ db, model, reaction, starter, depthMax = DEPTH_MAX }: ReactorPorts): OutsideConsumer {
  const takes = reaction.process?.takes ?? [];
  const rows = new Map<string, ReactionRow>();
  let farBack: ReadonlySet<string> = new Set();
  const room = makeRoom({ db, model, reaction, starter });

  return {
    consumer: reactionConsumer(reaction.name),
    generation: 0,
    model,
    concerns: ({ type, origin }) =>
      (reaction.on.includes(type) || takes.includes(type)) && (origin === 'live' || reaction.backfilled),
    prepare: async (events, how) => {
      rows.clear();
      const passedOver = events.filter(({ skipped }) => skipped);
      if (passedOver.length > 0) await noteSkipped(db, reaction.name, passedOver);
      const starting = events.filter((event) => !event.skipped && shallow(event) && startsSurely(event));
      const now = await room.take(starting, how);
      for (const row of await openRows(db, reaction.name, now, how)) rows.set(entityKey(row), row);
      room.used(now.length);
      if (reaction.order === 'per-entity')
        farBack = new Set(await farBackInLine(db, reaction.name, now, WAKES_AHEAD_MAX));
    },
    actOn: async (event) => {
      if (event.skipped) return;
      const lifted = attempt(() => model.lift(event));
      if (attempt(() => starts(event))) {
        if (!shallow(event))
          throw new Loop(`${depthOf(event)} reactions led here: ${event.meta.chain?.join(', then ') ?? ''}`);
        const row = rows.get(entityKey(event));
        if (row?.status === 'open' && !farBack.has(entityKey(event))) await starter.start(row, lifted);
      }
      if (takes.includes(event.type) && !room.isToldAgain(event)) await starter.tell(lifted);
    },
    // What Temporal or PostgreSQL say is about them, unless Temporal says that it can never take this.
    blames: (error) => (error instanceof Loop || error instanceof Undecided || isInvalid(error) ? 'park' : 'no'),
    concurrency: STARTS_AT_ONCE,
    chunkEvents: CHUNK_EVENTS,
    room,
  };

  function starts(event: PublishedEvent): boolean {
    return reaction.on.includes(event.type) && reaction.when(model.lift(event));
  }

  /** One whose `when` throws is told when it is acted on, and holds back its entity only. */
  function startsSurely(event: PublishedEvent): boolean {
    try {
      return starts(event);
    } catch {
      return false;
    }
  }

  function shallow(event: PublishedEvent): boolean {
    return depthOf(event) < depthMax;
  }
}

/** The project's own `when` or upcast threw. */
class Undecided extends Error {}

function attempt<T>(run: () => T): T {
  try {
    return run();
  } catch (cause) {
    throw new Undecided(cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

const depthOf = ({ meta }: PublishedEvent): number => meta.depth ?? 0;
