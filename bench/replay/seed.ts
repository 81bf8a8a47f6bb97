import type { Client } from 'pg';
import { projectionConsumer } from '../../workflows/names';
import { sumUp } from './sql-aggregate';
import { copyInto } from './copy';
import { ENTITY_COLUMNS, EVENT_COLUMNS, orderLog } from './order-log';

/** Fills an empty database with a log of orders, and says how many events that is. */
export async function seedLog(owner: Client, orders: number): Promise<number> {
  const { rows } = await owner.query<{ partitions: number }>('select partitions from reprise.identity');
  const log = orderLog({ orders, partitions: rows[0]?.partitions ?? NaN });
  await copyInto(owner, `reprise.events (${EVENT_COLUMNS})`, log.eventRows());
  await copyInto(owner, `reprise.entities (${ENTITY_COLUMNS})`, log.entityRows());
  await owner.query(
    `update reprise.partitions p set head = h.head
     from unnest($1::bigint[]) with ordinality as h (head, n) where p.partition = h.n - 1`,
    [log.heads],
  );
  await owner.query('vacuum analyze reprise.events, reprise.entities, reprise.partitions');
  await owner.query('checkpoint'); // or it runs, spread out, into what is measured
  return log.events;
}

/** The live read models as a projector would have left them at head: only orders happened, so the others stay empty. */
export async function seedReadModels(owner: Client): Promise<void> {
  const live = 'read.order_summary__g1';
  await sumUp(owner, live);
  await owner.query(
    `update reprise.checkpoints c set next_offset = p.head + 1
     from reprise.partitions p where p.partition = c.partition and c.consumer like $1::text`,
    [projectionConsumer('%')],
  );
  await owner.query(`vacuum analyze ${live}, reprise.checkpoints`);
}
