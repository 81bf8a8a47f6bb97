import { z } from 'zod';

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
