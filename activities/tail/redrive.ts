import type { PoolClient } from 'pg';
import { withTransaction } from '../../db/pool';
import { asPoison, park } from '../park';
import type { ConsumerName, InsideConsumer, OutsideConsumer } from '../tail';
import { tryOne } from './apart';
import { Fenced, lockForDone } from './checkpoints';
import type { Turn } from './chunk';
import { actInLines } from './outside';
import { readHeldBack, readPublishedHeldBack } from './read-log';

const REDRIVE_EVENTS_MAX = 500;

interface HeldBack {
  readonly entityType: string;
  readonly entityId: string;
  readonly partition: number;
  readonly from: number;
  /** The consumer's checkpoint: what lies behind it was never held back. */
  readonly before: number;
}

/** Lets the entities go on that somebody asked for, each in order, in chunks. True: it did something. */
export async function redriveParked(turn: Turn): Promise<boolean> {
  const { consumer } = turn;
  let redriven = false;
  const some = () =>
    'actOn' in consumer ? redriveOutside({ ...turn, consumer }) : redriveInside({ ...turn, consumer });
  while (!turn.signal.aborted && (await some())) redriven = true;
  return redriven;
}

/** One chunk of one entity, under its checkpoint's lock: no event of it is applied twice, and none overtakes. */
async function redriveInside(turn: Turn<InsideConsumer>): Promise<boolean> {
  const { db, consumer, epoch, watch } = turn;
  let applied = 0;
  const redriven = await withTransaction(db, async (tx) => {
    const held = await nextAsked(tx, consumer, epoch, 'for update of c');
    if (!held) return false;
    const { events, cutAt } = await readHeldBack(tx, consumer, held, REDRIVE_EVENTS_MAX);
    for (const event of events) {
      const { failure, still } = await tryOne(turn, tx, event);
      const [behind] = still;
      if (failure === undefined && !behind) {
        applied += 1;
        continue;
      }
      watch.onError();
      await park(tx, asPoison(consumer, event, failure ?? new Error(behind?.reason), 1)); // clears its request
      return true;
    }
    await moveHeldBack(tx, consumer, held, cutAt);
    return true;
  });
  watch.onApplied(applied);
  return redriven;
}

/** The same for work outside: done first, then noted under the checkpoint's lock. Only the owner moves either. */
async function redriveOutside(turn: Turn<OutsideConsumer>): Promise<boolean> {
  const { db, consumer, epoch, signal } = turn;
  const held = await nextAsked(db, consumer, epoch, '');
  if (!held) return false;
  const { events, cutAt } = await readPublishedHeldBack(db, consumer, held, REDRIVE_EVENTS_MAX);
  const { failed, left } = await actInLines(turn, events.filter(consumer.concerns));
  if (signal.aborted || left.length > 0) return false;
  await withTransaction(db, async (tx) => {
    await lockForDone(tx, consumer, epoch, [held.partition]);
    for (const { event, error, attempts } of failed) await park(tx, asPoison(consumer, event, error, attempts));
    if (failed.length === 0) await moveHeldBack(tx, consumer, held, cutAt);
  });
  return true;
}

/** The entity that somebody asked for first. Throws `Fenced` for a zombie. */
async function nextAsked(
  db: Pick<PoolClient, 'query'>,
  { consumer, generation }: ConsumerName,
  epoch: number,
  lock: 'for update of c' | '',
): Promise<HeldBack | null> {
  const { rows } = await db.query<HeldBack & { readonly epoch: number }>({
    name: lock ? 'redrive_lock_next' : 'redrive_next',
    text: `select k.entity_type as "entityType", k.entity_id as "entityId", k.from_offset as "from", c.partition,
                  c.next_offset as "before", c.epoch
           from (
             select * from reprise.parked
             where consumer = $1::text and generation = $2::integer and redrive order by since limit 1
           ) k
           join reprise.checkpoints c on c.consumer = k.consumer and c.generation = k.generation
             and c.partition = (select e.partition from reprise.events e
                                where e.entity_type = k.entity_type and e.entity_id = k.entity_id limit 1)
           ${lock}`,
    values: [consumer, generation],
  });
  const [held] = rows;
  if (held && held.epoch !== epoch) throw new Fenced(`${consumer} has a newer owner than epoch ${epoch}`);
  return held ?? null;
}

/** Caught up, the entity is parked no more; else it is held back from behind the last that was done. */
async function moveHeldBack(
  tx: PoolClient,
  { consumer, generation }: ConsumerName,
  { entityType, entityId }: HeldBack,
  cutAt: number | null,
): Promise<void> {
  const caughtUp = cutAt === null;
  const of = [consumer, generation, entityType, entityId];
  await tx.query({
    name: caughtUp ? 'redrive_caught_up' : 'redrive_moved',
    text: caughtUp
      ? `delete from reprise.parked where consumer = $1::text and generation = $2::integer
           and entity_type = $3::text and entity_id = $4::text`
      : `update reprise.parked set from_offset = $5::bigint where consumer = $1::text and generation = $2::integer
           and entity_type = $3::text and entity_id = $4::text`,
    values: caughtUp ? of : [...of, cutAt + 1],
  });
}
