import type { PoolClient } from 'pg';
import { isOfItsInput } from '../../db/errors';
import { withTransaction } from '../../db/pool';
import { asPoison, park } from '../park';
import { writeRows } from '../project/rows';
import { tryOne } from '../tail/apart';
import { PARKED_MAX, stopWhenFull } from '../tail/checkpoints';
import { NOT_WATCHED } from '../watch';
import type { Place, Vector } from './chosen';
import type { FoldedAgain } from './fold-again';
import { fence, type Part } from './part';
import { readHistories } from './read-histories';

interface Where {
  readonly to: Vector;
  readonly skipped: ReadonlySet<string>;
}

/** Rows, parked entities and the place, in one transaction. What PostgreSQL refuses is found by halves. */
export async function writeAgain(part: Part, folded: readonly FoldedAgain[], next: Place, where: Where): Promise<void> {
  await writeByHalves(part, folded, where);
  await withTransaction(part.db, async (tx) => {
    await fence(tx, part, new Set([0]), null);
    await movePlace(tx, part, folded, next);
  });
}

async function writeByHalves(part: Part, folded: readonly FoldedAgain[], where: Where): Promise<void> {
  const [only] = folded;
  if (!only) return;
  try {
    await withTransaction(part.db, (tx) => writeAll(tx, part, folded, where));
  } catch (error) {
    if (!isOfItsInput(error)) throw error;
    if (folded.length === 1) return writeSlowly(part, only, where);
    const half = Math.ceil(folded.length / 2);
    await writeByHalves(part, folded.slice(0, half), where);
    await writeByHalves(part, folded.slice(half), where);
  }
}

async function writeAll(tx: PoolClient, part: Part, folded: readonly FoldedAgain[], { to }: Where): Promise<void> {
  await fence(tx, part, new Set(folded.map(({ entity }) => entity.partition)), to);
  await writeRows(tx, part.table, new Map(folded.map(({ entity, row }) => [entity.entityId, row])));
  await release(
    tx,
    part,
    folded.filter(({ poison }) => !poison),
  );
  for (const { poison } of folded) if (poison) await park(tx, asPoison(part.projector, poison.event, poison.error, 1));
  if (folded.some(({ poison }) => poison)) await stopWhenFull(tx, part.projector, PARKED_MAX);
}

/** Event by event, by the live side's own fold and write, up to the one that is to blame. */
async function writeSlowly(part: Part, { entity }: FoldedAgain, { to, skipped }: Where): Promise<void> {
  const { projector, db, epoch, signal, heartbeat } = part;
  const turn = { db, consumer: projector, epoch, parkedMax: PARKED_MAX, signal, heartbeat, watch: NOT_WATCHED };
  await withTransaction(db, async (tx) => {
    await fence(tx, part, new Set([entity.partition]), to);
    await writeRows(tx, part.table, new Map([[entity.entityId, null]]));
    for (let version = 0; ;) {
      const [stretch] = await readHistories(tx, [{ entity, version }], to);
      for (const event of stretch?.events ?? []) {
        signal.throwIfAborted();
        version = event.version;
        if (skipped.has(event.eventId)) continue;
        const { failure } = await tryOne(turn, tx, event);
        if (failure === undefined) continue;
        await park(tx, asPoison(projector, event, failure, 1));
        return stopWhenFull(tx, projector, PARKED_MAX);
      }
      if (!stretch?.isCut) break;
    }
    await release(tx, part, [{ entity }]);
  });
}

/** What could be folded is held back no more. */
async function release(
  tx: PoolClient,
  { build: { consumer, generation } }: Part,
  folded: readonly Pick<FoldedAgain, 'entity'>[],
): Promise<void> {
  await tx.query({
    name: 'replay_release',
    text: `delete from reprise.parked k using unnest($3::text[], $4::text[]) as f (entity_type, entity_id)
           where k.consumer = $1::text and k.generation = $2::integer
             and k.entity_type = f.entity_type and k.entity_id = f.entity_id`,
    values: [
      consumer,
      generation,
      folded.map(({ entity }) => entity.entityType),
      folded.map(({ entity }) => entity.entityId),
    ],
  });
}

async function movePlace(
  tx: PoolClient,
  { build: { consumer, generation } }: Part,
  folded: readonly FoldedAgain[],
  next: Place,
): Promise<void> {
  await tx.query({
    name: 'replay_move_place',
    text: `update reprise.replays
           set refolded_to = $3::bigint[], entities_done = entities_done + $4::integer,
               entity_events = entity_events + $5::bigint
           where consumer = $1::text and generation = $2::integer`,
    values: [consumer, generation, next, folded.length, folded.reduce((sum, { events }) => sum + events, 0)],
  });
}
