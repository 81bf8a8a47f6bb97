import { withTransaction } from '../../db/pool';
import { park } from '../park';
import { asPoison, tryOne } from './apart';
import { Fenced } from './checkpoints';
import type { Turn } from './chunk';
import { readHeldBack } from './read-log';

const REDRIVE_EVENTS_MAX = 500;

interface HeldBack {
  readonly entity_type: string;
  readonly entity_id: string;
  readonly from_offset: number;
  readonly partition: number;
  readonly next_offset: number;
  readonly epoch: number;
}

/** Lets the entities go on that somebody asked for, each in order, in chunks. True: it did something. */
export async function redriveParked(turn: Turn, signal: AbortSignal): Promise<boolean> {
  let redriven = false;
  while (!signal.aborted && (await redriveSome(turn))) redriven = true;
  return redriven;
}

/** One chunk of one entity, under its checkpoint's lock: no event of it is applied twice, and none overtakes. */
async function redriveSome(turn: Turn): Promise<boolean> {
  const { db, consumer, epoch } = turn;
  return withTransaction(db, async (tx) => {
    const { rows } = await tx.query<HeldBack>({
      name: 'redrive_next',
      text: `select k.entity_type, k.entity_id, k.from_offset, c.partition, c.next_offset, c.epoch
             from (
               select * from reprise.parked
               where consumer = $1::text and generation = $2::integer and redrive order by since limit 1
             ) k
             join reprise.checkpoints c on c.consumer = k.consumer and c.generation = k.generation
               and c.partition = (select e.partition from reprise.events e
                                  where e.entity_type = k.entity_type and e.entity_id = k.entity_id limit 1)
             for update of c`,
      values: [consumer.consumer, consumer.generation],
    });
    const [held] = rows;
    if (!held) return false;
    if (held.epoch !== epoch) throw new Fenced(`${consumer.consumer} has a newer owner than epoch ${epoch}`);
    const of = { entityType: held.entity_type, entityId: held.entity_id };
    const range = { from: held.from_offset, before: held.next_offset };
    const { events, isCut } = await readHeldBack(tx, consumer, { ...of, ...range }, REDRIVE_EVENTS_MAX);
    for (const event of events) {
      const { failure, still } = await tryOne(turn, tx, event);
      const [behind] = still;
      if (failure === undefined && !behind) continue;
      await park(tx, asPoison(turn, event, failure ?? new Error(behind?.reason), 1)); // clears its request
      return true;
    }
    const caughtUp = !isCut;
    await tx.query({
      name: caughtUp ? 'redrive_caught_up' : 'redrive_moved',
      text: caughtUp
        ? `delete from reprise.parked where consumer = $1::text and generation = $2::integer
             and entity_type = $3::text and entity_id = $4::text`
        : `update reprise.parked set from_offset = $5::bigint where consumer = $1::text and generation = $2::integer
             and entity_type = $3::text and entity_id = $4::text`,
      values: [
        consumer.consumer,
        consumer.generation,
        of.entityType,
        of.entityId,
        ...(caughtUp ? [] : [(events.at(-1)?.offset ?? 0) + 1]),
      ],
    });
    return true;
  });
}
