import type { Pool } from 'pg';

/** Failures of one kind at one consumer. */
export type ParkedKind = Readonly<{
  consumer: string;
  generation: number;
  fingerprint: string;
  entities: number;
  attempts: number;
  first: string;
  last: string;
  error: string;
}>;

export type ParkedEntity = Readonly<{
  consumer: string;
  generation: number;
  entity: string;
  event_id: string;
  from_offset: number;
  attempts: number;
  since: string;
  last: string;
  redrive: boolean;
  error: string;
}>;

export async function readParkedKinds(db: Pool): Promise<ParkedKind[]> {
  const { rows } = await db.query<ParkedKind>(
    `select consumer, generation, fingerprint, count(*) as entities, sum(attempts)::bigint as attempts,
            min(since) as first, max(last_at) as last, min(error) as error
     from reprise.parked group by consumer, generation, fingerprint order by max(last_at) desc`,
  );
  return rows;
}

/** Of a consumer, or of one entity (`order/10248`) of it. */
export async function readParked(db: Pool, consumer: string, entity: string | null): Promise<ParkedEntity[]> {
  const { rows } = await db.query<ParkedEntity>(
    `select consumer, generation, entity_type || '/' || entity_id as entity, event_id, from_offset, attempts, since,
            last_at as last, redrive, error
     from reprise.parked
     where consumer = $1::text and ($2::text is null or entity_type || '/' || entity_id = $2::text)
     order by since, entity_type, entity_id`,
    [consumer, entity],
  );
  return rows;
}

/** Asks the consumer to let them go on; one that had stopped because of them starts again. Answers how many. */
export async function requestRedrive(db: Pool, consumer: string, entity: string | null): Promise<number> {
  const { rows } = await db.query<{ asked: number }>(
    `with asked as (
       update reprise.parked set redrive = true
       where consumer = $1::text and ($2::text is null or entity_type || '/' || entity_id = $2::text) returning 1
     ), going as (
       update reprise.checkpoints set status = 'running', error = null
       where consumer = $1::text and status = 'parked-full' and exists (select from asked)
     )
     select count(*) as asked from asked`,
    [consumer, entity],
  );
  return rows[0]?.asked ?? 0;
}

/** Passes over the event that an entity is parked at, for good, and lets it go on behind it, as a redrive does. False: not parked. */
export async function skipParked(
  db: Pool,
  { consumer, entity, reason, actor }: Readonly<Record<'consumer' | 'entity' | 'reason' | 'actor', string>>,
): Promise<boolean> {
  const { rowCount } = await db.query(
    `with asked as (
       update reprise.parked set redrive = true
       where consumer = $1::text and entity_type || '/' || entity_id = $2::text returning event_id
     ), going as (
       update reprise.checkpoints set status = 'running', error = null
       where consumer = $1::text and status = 'parked-full' and exists (select from asked)
     )
     insert into reprise.skips (consumer, event_id, reason, actor, at)
     select $1::text, event_id, $3::text, $4::text, clock_timestamp() from asked
     on conflict do nothing`,
    [consumer, entity, reason, actor],
  );
  return (rowCount ?? 0) > 0;
}
