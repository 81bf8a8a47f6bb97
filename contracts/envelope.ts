import { z } from 'zod';
import type { RecordedEvent } from './event';
import type { PublicShape } from './public-shape';

const id = z.string().min(1).max(1_000);

const envelope = z.looseObject({
  specversion: z.literal('1.0'),
  id: z.uuid(),
  source: id,
  type: id,
  subject: id,
  time: z.string(),
  dataschema: z.string().optional(),
  /** `order/10248`. */
  partitionkey: id,
  correlationid: z.string().optional(),
  causationid: z.string().optional(),
  traceparent: z.string().optional(),
  /** 1..n in the entity's history. */
  entityversion: z.int().positive(),
  /** The version published before this one; 0 for the first. Versions between them are private. */
  previousversion: z.int().nonnegative(),
  data: z.unknown(),
});

/** What a relay publishes: CloudEvents 1.0 in structured JSON, the same on every broker. */
export type Envelope = z.infer<typeof envelope>;

/** Bytes that no relay published. They are not echoed: they may hold anything. */
export class NotAnEnvelope extends Error {
  override readonly name = 'NotAnEnvelope';
}

/** An event that a person decided not to publish; it has its place in the order, and no data. */
export const SKIPPED = 'reprise.skipped';

/** Goes out in place of an event that was passed over: the same id and version, so that no consumer waits for it. */
export function asSkipped({ type, ...envelope }: Envelope): Envelope {
  for (const withheld of ['data', 'dataschema']) Reflect.deleteProperty(envelope, withheld);
  return { ...envelope, type: SKIPPED, skippedtype: type } as Envelope;
}

/** An event of the log as a relay publishes it: what `reprise.commit` writes into the outbox, field by field. */
export function toEnvelope(
  event: RecordedEvent,
  { publishedAfter, shape }: { readonly publishedAfter: number; readonly shape: PublicShape },
): Envelope {
  const { correlationId, causationId, traceparent } = event.meta;
  return {
    specversion: '1.0',
    id: event.eventId,
    source: `/reprise/${event.entityType}`,
    type: event.type,
    subject: event.entityId,
    time: event.occurredAt.replace('Z', '+00:00'), // as PostgreSQL writes it
    datacontenttype: 'application/json',
    dataschema: `reprise:${event.type}/${shape.version}`, // an absolute URI, as CloudEvents asks
    partitionkey: `${event.entityType}/${event.entityId}`,
    ...(correlationId === undefined ? {} : { correlationid: correlationId }),
    ...(causationId === undefined ? {} : { causationid: causationId }),
    ...(traceparent === undefined ? {} : { traceparent }),
    entityversion: event.version,
    previousversion: publishedAfter,
    data: shape.data,
  };
}

/** Reads a message's body: `msg.data` (NATS), `msg.content` (RabbitMQ), `message.value` (Kafka). Throws `NotAnEnvelope`. */
export function parseEnvelope(body: Uint8Array | string): Envelope {
  let json: unknown;
  try {
    json = JSON.parse(typeof body === 'string' ? body : new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch {
    throw new NotAnEnvelope('the body is not JSON in UTF-8');
  }
  const parsed = envelope.safeParse(json);
  if (parsed.success) return parsed.data;
  const fields = [...new Set(parsed.error.issues.map(({ path }) => path.join('.') || 'the whole'))].slice(0, 5);
  throw new NotAnEnvelope(`not an envelope of Reprise: wrong or missing ${fields.join(', ')}`);
}
