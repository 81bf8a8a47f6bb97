import type { PoolClient } from 'pg';
import { withTransaction } from '../../db/pool';
import { asPoison, park } from '../park';
import type { ConsumerName, InsideConsumer, OutsideConsumer } from '../tail';
import { tryOne } from './apart';
import { upToUnknown } from './behind-code';
import { Fenced, lockForDone } from './checkpoints';
import type { Turn } from './chunk';
import { actInLines } from './outside';
import { readHeldBack, readPublishedHeldBack, type LogEvent } from './read-log';

const REDRIVE_EVENTS_MAX = 500;

interface Taken {
  /** When its request was taken. A reaction that was started again may have failed since: then it is parked anew. */
  readonly at: string;
  readonly entityType: string;
  readonly entityId: string;
  readonly partition: number;
}

interface HeldBack extends Taken {
  readonly from: number;
  /** The consumer's checkpoint: what lies behind it was never held back. */
  readonly before: number;
}

/** Lets the entities go on that somebody asked for, each in order, in chunks. True: it did something. */
export async function redriveParked(turn: Turn): Promise<boolean> {
  const standing: string[] = [];
  let redriven = false;
  while (!turn.signal.aborted) {
    const next = await redriveNext(turn, standing);
    if (next === 'none-left') break;
    if (next === 'went-on') redriven = true;
    else standing.push(next.stands);
  }
  return redriven;
}

/** `stands`: it was asked for and cannot go on now. Others can; it is asked for still, and looked at again in a while. */
type Redriven = 'none-left' | 'went-on' | { readonly stands: string };

/**
 * One chunk of one entity. Its request is taken first, in a transaction of its own, and made again with each step forward:
 * a process that dies of these events leaves an entity that is parked, not one that the next process dies of.
 */
async function redriveNext(turn: Turn, standing: readonly string[]): Promise<Redriven> {
  const { consumer, db } = turn;
  const taken = await takeNext(turn, standing);
  if (!taken) return 'none-left';
  turn.heartbeat({ redriving: `${taken.entityType}/${taken.entityId}` });
  try {
    return await ('actOn' in consumer
      ? redriveOutside({ ...turn, consumer }, taken)
      : redriveInside({ ...turn, consumer }, taken));
  } catch (error) {
    await askAgain(db, consumer, taken).catch(() => undefined); // what it lived to see is no event's doing
    throw error;
  }
}

/** Under its checkpoint's lock: no event of it is applied twice, and none overtakes. */
async function redriveInside(turn: Turn<InsideConsumer>, taken: Taken): Promise<Redriven> {
  const { db, consumer, watch } = turn;
  let applied = 0;
  await withTransaction(db, async (tx) => {
    const held = await readHeld(tx, turn, taken, 'for update of c');
    if (!held) return askAgain(tx, consumer, taken);
    const { events, cutAt } = await readHeldBack(tx, consumer, held, REDRIVE_EVENTS_MAX);
    for (const event of events) {
      const { failure, still } = await tryOne(turn, tx, event);
      const [behind] = still;
      if (failure === undefined && !behind) {
        applied += 1;
        continue;
      }
      watch.onError();
      return park(tx, asPoison(consumer, event, failure ?? new Error(behind?.reason), 0)); // counted when it was taken
    }
    await moveHeldBack(tx, consumer, held, cutAt);
  });
  watch.onApplied(applied);
  return 'went-on';
}

/** The same for work outside: done first, then noted under the checkpoint's lock. Only the owner moves either. */
async function redriveOutside(turn: Turn<OutsideConsumer>, taken: Taken): Promise<Redriven> {
  const { db, consumer, epoch } = turn;
  const held = await readHeld(db, turn, taken, '');
  if (!held) {
    await askAgain(db, consumer, taken);
    return 'went-on';
  }
  const { events, cutAt } = await readPublishedHeldBack(db, consumer, held, REDRIVE_EVENTS_MAX);
  const { known, still } = upToUnknown(consumer.model, events, consumer.concerns);
  const { done, failed, left } = await actInLines(turn, known, { redriven: true });
  const [behind] = still;
  // Told to stop, or no room: the next owner, or the next pass, goes on from there.
  const stop = left[0] ?? events.find(({ offset }) => offset === behind?.offset);
  await withTransaction(db, async (tx) => {
    await lockForDone(tx, consumer, epoch, [held.partition]);
    for (const { event, error, attempts } of failed) await park(tx, asPoison(consumer, event, error, attempts - 1));
    if (failed.length > 0) return;
    if (stop) await standAt(tx, consumer, held, stop, left.length > 0 ? null : (behind?.reason ?? null));
    else await moveHeldBack(tx, consumer, held, cutAt);
  });
  turn.watch.onApplied(done.length);
  return failed.length === 0 && stop ? { stands: `${held.entityType}/${held.entityId}` } : 'went-on';
}

/** Takes the request of who is parked longest where the consumer may move, and counts it as an attempt. Throws `Fenced` for a zombie. */
async function takeNext(
  { db, consumer: { consumer, generation }, epoch }: Turn,
  except: readonly string[],
): Promise<Taken | null> {
  const { rows } = await db.query<Taken & { readonly epoch: number }>({
    name: 'redrive_take',
    text: `with next as (
             select k.entity_type, k.entity_id, c.partition, c.epoch
             from (
               select * from reprise.parked
               where consumer = $1::text and generation = $2::integer and redrive
                 and entity_type || '/' || entity_id <> all($4::text[])
               order by since
             ) k
             join reprise.checkpoints c on c.consumer = k.consumer and c.generation = k.generation
               and c.partition = (select e.partition from reprise.events e
                                  where e.entity_type = k.entity_type and e.entity_id = k.entity_id limit 1)
             where c.status = 'running'
             order by k.since limit 1
           ), taken as (
             update reprise.parked p set redrive = false, attempts = p.attempts + 1, last_at = clock_timestamp()
             from next n
             where p.consumer = $1::text and p.generation = $2::integer and p.entity_type = n.entity_type
               and p.entity_id = n.entity_id and n.epoch = $3::bigint
             returning p.last_at
           )
           select entity_type as "entityType", entity_id as "entityId", partition, epoch,
                  (select last_at from taken) as at from next`,
    values: [consumer, generation, epoch, except],
  });
  const [next] = rows;
  if (next && next.epoch !== epoch) throw new Fenced(`${consumer} has a newer owner than epoch ${epoch}`);
  return next ?? null;
}

/** Where the entity that was taken stands. Null when it is parked no more, or its partition was paused. Throws `Fenced` for a zombie. */
async function readHeld(
  db: Pick<PoolClient, 'query'>,
  { consumer: { consumer, generation }, epoch }: Turn,
  taken: Taken,
  lock: 'for update of c' | '',
): Promise<HeldBack | null> {
  const { rows } = await db.query<{ from: number; before: number; epoch: number }>({
    name: lock ? 'redrive_lock_held' : 'redrive_read_held',
    text: `select k.from_offset as "from", c.next_offset as "before", c.epoch
           from reprise.parked k
           join reprise.checkpoints c on c.consumer = k.consumer and c.generation = k.generation
             and c.partition = $5::smallint
           where k.consumer = $1::text and k.generation = $2::integer and k.entity_type = $3::text and k.entity_id = $4::text
             and c.status = 'running'
           ${lock}`,
    values: [consumer, generation, taken.entityType, taken.entityId, taken.partition],
  });
  const [held] = rows;
  if (held && held.epoch !== epoch) throw new Fenced(`${consumer} has a newer owner than epoch ${epoch}`);
  return held ? { ...taken, from: held.from, before: held.before } : null;
}

/** Caught up, the entity is parked no more; else it is held back from behind the last that was done, and goes on. */
async function moveHeldBack(
  tx: PoolClient,
  { consumer, generation }: ConsumerName,
  { entityType, entityId, at }: HeldBack,
  cutAt: number | null,
): Promise<void> {
  const caughtUp = cutAt === null;
  const of = [consumer, generation, entityType, entityId, at];
  await tx.query({
    name: caughtUp ? 'redrive_caught_up' : 'redrive_moved',
    text: caughtUp
      ? `delete from reprise.parked where consumer = $1::text and generation = $2::integer
           and entity_type = $3::text and entity_id = $4::text and last_at = $5::timestamptz`
      : `update reprise.parked set from_offset = $6::bigint, redrive = true, attempts = attempts - 1
         where consumer = $1::text and generation = $2::integer and entity_type = $3::text and entity_id = $4::text
           and last_at = $5::timestamptz`,
    values: caughtUp ? of : [...of, cutAt + 1],
  });
}

/** Held back from this event on, and asked for still; `reason` says what it waits for. */
async function standAt(
  tx: PoolClient,
  { consumer, generation }: ConsumerName,
  { entityType, entityId, at }: HeldBack,
  { offset, eventId }: LogEvent,
  reason: string | null,
): Promise<void> {
  await tx.query({
    name: 'redrive_stands',
    text: `update reprise.parked
           set from_offset = $6::bigint, event_id = $7::uuid, error = coalesce($8::text, error), redrive = true,
               attempts = attempts - 1
           where consumer = $1::text and generation = $2::integer and entity_type = $3::text and entity_id = $4::text
             and last_at = $5::timestamptz`,
    values: [consumer, generation, entityType, entityId, at, offset, eventId, reason],
  });
}

/** What was taken and not tried to its end is asked for again. */
async function askAgain(
  db: Pick<PoolClient, 'query'>,
  { consumer, generation }: ConsumerName,
  { entityType, entityId }: Taken,
): Promise<void> {
  await db.query({
    name: 'redrive_ask_again',
    text: `update reprise.parked set redrive = true, attempts = attempts - 1
           where consumer = $1::text and generation = $2::integer and entity_type = $3::text and entity_id = $4::text`,
    values: [consumer, generation, entityType, entityId],
  });
}
