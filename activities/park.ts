import { createHash } from 'node:crypto';
import type { Pool, PoolClient } from 'pg';
import { errorText } from './error-text';
import type { ConsumerName } from './tail';
import type { LogEvent } from './tail/read-log';

/** An entity held back for one consumer, from the event that failed on. */
export interface Poison {
  readonly consumer: string;
  readonly generation: number;
  readonly entityType: string;
  readonly entityId: string;
  readonly offset: number;
  readonly eventId: string;
  readonly error: unknown;
  readonly attempts: number;
  /** Others of the same entity may have failed before it: the entity stays held back from the earliest. */
  readonly earliest?: boolean;
}

/** The event that a consumer failed on, as what its entity is held back for. */
export const asPoison = (
  { consumer, generation }: ConsumerName,
  { entityType, entityId, offset, eventId }: LogEvent,
  error: unknown,
  attempts: number,
): Poison => ({ consumer, generation, entityType, entityId, offset, eventId, error, attempts });

/** Holds back an entity. Parked already, it keeps its first time and what was asked for, and adds to its attempts. */
export async function park(db: Pool | PoolClient, poison: Poison): Promise<void> {
  const error = errorText(poison.error);
  await db.query({
    name: 'park',
    text: `insert into reprise.parked as p
             (consumer, generation, entity_type, entity_id, from_offset, event_id, error, fingerprint, attempts)
           values ($1::text, $2::integer, $3::text, $4::text, $5::bigint, $6::uuid, $7::text, $8::text, $9::integer)
           on conflict (consumer, generation, entity_type, entity_id) do update
             set error = excluded.error, fingerprint = excluded.fingerprint,
                 from_offset = case when $10::boolean then least(p.from_offset, excluded.from_offset) else excluded.from_offset end,
                 event_id = case when $10::boolean and p.from_offset < excluded.from_offset then p.event_id else excluded.event_id end,
                 attempts = p.attempts + excluded.attempts, last_at = clock_timestamp()`,
    values: [
      poison.consumer,
      poison.generation,
      poison.entityType,
      poison.entityId,
      poison.offset,
      poison.eventId,
      error,
      fingerprintOf(error),
      poison.attempts,
      poison.earliest ?? false,
    ],
  });
}

/** Equal for failures of one kind: the message without its numbers, ids and quoted parts. 12 hex digits of SHA-256. */
export function fingerprintOf(error: string): string {
  const kind = error
    .replace(/[0-9a-f]{8}-[0-9a-f-]{27}/gi, '#')
    .replace(/(["'`]).*?\1/g, '#')
    .replace(/\d+/g, '#');
  return createHash('sha256').update(kind).digest('hex').slice(0, 12);
}
