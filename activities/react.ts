import type { RecordedEvent } from '../contracts/event';
import type { Model } from '../model/model';
import type { AnyReaction } from '../model/reaction';
import { reactionConsumer } from '../workflows/names';
import { entityKey, openRows, type ReactionRow } from './react/rows';
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

  return {
    consumer: reactionConsumer(reaction.name),
    generation: 0,
    model,
    concerns: ({ type, origin }) =>
      (reaction.on.includes(type) || takes.includes(type)) && (origin === 'live' || reaction.backfilled),
    prepare: async (events) => {
      rows.clear();
      const starting = events.filter(starts);
      for (const row of await openRows(db, reaction.name, starting.filter(shallow), starting.filter(skipped))) {
        rows.set(entityKey(row), row);
      }
    },
    actOn: async (event) => {
      const lifted = lift(event);
      if (starts(event) && !event.skipped) {
        if (!shallow(event))
          throw new Loop(`${depthOf(event)} reactions led here: ${event.meta.chain?.join(', then ') ?? ''}`);
        const row = rows.get(entityKey(event));
        if (row?.status === 'open') await starter.start(row, lifted);
      }
      if (takes.includes(event.type)) await starter.tell(lifted);
    },
    // What Temporal or PostgreSQL say is about them; the events are only passed on.
    blames: (error) => (error instanceof Loop ? 'park' : 'no'),
    concurrency: STARTS_AT_ONCE,
    chunkEvents: CHUNK_EVENTS,
  };

  function starts(event: PublishedEvent): boolean {
    return reaction.on.includes(event.type) && reaction.when(lift(event));
  }

  function lift(event: RecordedEvent): RecordedEvent {
    return { ...event, data: model.decode(event.type, event.schemaVersion, event.data) };
  }

  function shallow(event: PublishedEvent): boolean {
    return !event.skipped && depthOf(event) < depthMax;
  }
}

const skipped = ({ skipped: passedOver }: PublishedEvent): boolean => passedOver;
const depthOf = ({ meta }: PublishedEvent): number => meta.depth ?? 0;
