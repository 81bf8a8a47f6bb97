import type { Pool, PoolClient } from 'pg';
import { withTransaction } from '../db/pool';
import { SKIPPED, type Envelope } from '../contracts/envelope';

export interface InboxOptions {
  /** The consuming service's own database. */
  readonly db: Pool;
  /** Names what it does with the events: two consumers in one database handle each event once each. */
  readonly consumer: string;
  /** Where the table `inbox` is. Default `public`. */
  readonly schema?: string;
  /**
   * `beginning` (default): the first message of an entity must be its first ever. `first-seen`: whatever comes first is
   * taken, for a consumer that joined a stream whose beginning is gone.
   */
  readonly from?: 'beginning' | 'first-seen';
}

export type Handler = (tx: PoolClient, envelope: Envelope) => Promise<void>;

export interface Inbox {
  /** Makes the table; two starters at once do no harm. */
  readonly prepare: () => Promise<void>;
  /**
   * Handles an event once: inbox row and handler are one transaction. `duplicate`: nothing was done. Throws
   * `MissingPredecessor` when an event before this one was not handled yet, and what the handler throws: do not
   * acknowledge then, and the broker brings it again.
   */
  readonly handle: (envelope: Envelope, handler: Handler) => Promise<'handled' | 'duplicate'>;
  /** Forgets what was handled before, but for the last event of each entity. Answers how many rows went. */
  readonly forget: (options: { readonly olderThan: Date }) => Promise<number>;
}

/** An event before this one has not been handled: it is late, or was lost on the way. */
export class MissingPredecessor extends Error {
  override readonly name = 'MissingPredecessor';

  constructor(
    readonly entity: string,
    /** The version that must be handled before; what was handled last (0: nothing). */
    readonly expected: number,
    readonly last: number,
  ) {
    super(`${entity}: version ${expected} must be handled before, the last handled is ${last || 'none'}`);
  }
}

/** Makes a consumer idempotent and in order per entity, whatever its broker repeats or reorders. */
export function makeInbox({ db, consumer, schema = 'public', from = 'beginning' }: InboxOptions): Inbox {
  const inbox = `"${schema.replaceAll('"', '""')}".inbox`;
  return { prepare, handle, forget };

  async function prepare(): Promise<void> {
    await withTransaction(db, async (tx) => {
      // `create … if not exists` of two starters at once can still collide.
      await tx.query(`select pg_advisory_xact_lock(hashtextextended('reprise inbox ' || $1::text, 0))`, [schema]);
      await tx.query(
        `create table if not exists ${inbox} (
           consumer   text        not null,
           event_id   uuid        not null,
           entity     text        not null,
           version    integer     not null,
           handled_at timestamptz not null default clock_timestamp(),
           primary key (consumer, event_id)
         )`,
      );
      await tx.query(`create index if not exists inbox_entity on ${inbox} (consumer, entity, version desc)`);
    });
  }

  async function handle(envelope: Envelope, handler: Handler): Promise<'handled' | 'duplicate'> {
    const { id, type, partitionkey, entityversion, previousversion } = envelope;
    return withTransaction(db, async (tx) => {
      // Two processes with one entity's events take turns, to the end of their transactions.
      await tx.query(`select pg_advisory_xact_lock(hashtextextended($1::text || '/' || $2::text, 1))`, [
        consumer,
        partitionkey,
      ]);
      const { rows } = await tx.query<{ version: number }>(
        `select version from ${inbox} where consumer = $1::text and entity = $2::text order by version desc limit 1`,
        [consumer, partitionkey],
      );
      const last = rows[0]?.version ?? 0;
      if (entityversion <= last) return 'duplicate';
      const firstSeen = from === 'first-seen' && rows.length === 0;
      if (previousversion !== last && !firstSeen) throw new MissingPredecessor(partitionkey, previousversion, last);
      await tx.query(
        `insert into ${inbox} (consumer, event_id, entity, version)
         values ($1::text, $2::uuid, $3::text, $4::integer)`,
        [consumer, id, partitionkey, entityversion],
      );
      if (type !== SKIPPED) await handler(tx, envelope);
      return 'handled';
    });
  }

  async function forget({ olderThan }: { readonly olderThan: Date }): Promise<number> {
    const { rowCount } = await db.query(
      `delete from ${inbox} i where consumer = $1::text and handled_at < $2::timestamptz
         and exists (select from ${inbox} later where later.consumer = i.consumer and later.entity = i.entity
                       and later.version > i.version)`,
      [consumer, olderThan.toISOString()],
    );
    return rowCount ?? 0;
  }
}
