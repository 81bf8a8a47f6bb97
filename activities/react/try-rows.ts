import type { Pool } from 'pg';
import type { RecordedEvent } from '../../contracts/event';
import { EVENT_COLUMNS, toEvent, type EventRow } from '../../db/event-row';
import type { ReactionRef } from '../../workflows/reaction';
import type { ReactionStatus } from './rows';

/** What is tried: a reaction's handler, or one step or send of its process (`refund/1`). */
export interface Tried {
  readonly ref: ReactionRef;
  readonly step?: string;
}

export interface Begun {
  /** That started the reaction, as stored. */
  readonly event: RecordedEvent;
  readonly status: ReactionStatus;
  readonly run: number;
  /** An earlier one of the same entity is open or parked. */
  readonly behindOthers: boolean;
  /** 1, 2, 3 …; null when it was not begun: it is not open, it is held back, or its tries are used up. */
  readonly nth: number | null;
}

const OF_HANDLER = { tries: 'r.attempts', begin: 'attempts = r.attempts + 1' };
const OF_STEP = {
  tries: `coalesce((r.steps ->> $8::text)::integer, 0)`,
  begin: `steps = jsonb_set(coalesce(r.steps, '{}'), array[$8::text],
                            to_jsonb(coalesce((r.steps ->> $8::text)::integer, 0) + 1))`,
};

const OF_REF = `r.reaction = $1::text and r.entity_type = $2::text and r.entity_id = $3::text and r.version = $4::integer`;
const valuesOf = (ref: ReactionRef) => [ref.reaction, ref.entityType, ref.entityId, ref.version, ref.run];

/**
 * Counts a try before it begins: one whose process is killed has been one all the same. `inOrder`: only when no earlier one of
 * its entity is open or parked. Null without a row.
 */
export async function beginTry(
  db: Pool,
  { ref, step }: Tried,
  { max, inOrder = false }: { readonly max: number; readonly inOrder?: boolean },
): Promise<Begun | null> {
  const { tries, begin } = step === undefined ? OF_HANDLER : OF_STEP;
  const { rows } = await db.query<
    EventRow & { status: ReactionStatus; run: number; behind_others: boolean; nth: number | null }
  >({
    name: step === undefined ? 'reaction_begin_try' : 'reaction_begin_step',
    text: `with at as (
             select r.status, r.run, r.entity_type, r.entity_id, r.version,
                    exists (select from reprise.reactions p
                            where p.reaction = r.reaction and p.entity_type = r.entity_type and p.entity_id = r.entity_id
                              and p.version < r.version and p.status in ('open', 'parked')) as behind_others
             from reprise.reactions r where ${OF_REF}
           ), begun as (
             update reprise.reactions r set ${begin} from at
             where ${OF_REF} and r.run = $5::integer and r.status = 'open' and ${tries} < $6::integer
               and not ($7::boolean and at.behind_others)
             returning ${tries} as nth
           )
           select e.*, at.status, at.run, at.behind_others, (select nth from begun) as nth
           from at cross join lateral (
             select ${EVENT_COLUMNS} from reprise.events
             where entity_type = at.entity_type and entity_id = at.entity_id and version = at.version
           ) e`,
    values: [...valuesOf(ref), max, inOrder, ...(step === undefined ? [] : [step])],
  });
  const [row] = rows;
  if (!row) return null;
  return { event: toEvent(row), status: row.status, run: row.run, behindOthers: row.behind_others, nth: row.nth };
}

/** It was no try: what failed was not the project's own code. */
export async function giveBackTry(db: Pool, { ref, step }: Tried): Promise<void> {
  await db.query({
    name: step === undefined ? 'reaction_give_back_try' : 'reaction_give_back_step',
    text: `update reprise.reactions r
           set ${
             step === undefined
               ? 'attempts = greatest(r.attempts - 1, 0)'
               : `steps = jsonb_set(r.steps, array[$6::text],
                                    to_jsonb(greatest(coalesce((r.steps ->> $6::text)::integer, 0) - 1, 0)))`
           }
           where ${OF_REF} and r.run = $5::integer and r.status = 'open'`,
    values: [...valuesOf(ref), ...(step === undefined ? [] : [step])],
  });
}

/** A step that has ended well needs no count any more. */
export async function forgetTries(db: Pool, { ref, step }: Required<Tried>): Promise<void> {
  await db.query({
    name: 'reaction_forget_tries',
    text: `update reprise.reactions r set steps = nullif(r.steps - $6::text, '{}')
           where ${OF_REF} and r.run = $5::integer and r.status = 'open'`,
    values: [...valuesOf(ref), step],
  });
}
