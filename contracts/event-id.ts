import { v5 } from 'uuid';

// The namespace of this project's event ids. Storage format: never changed.
const EVENT_NAMESPACE = '8f1d3c7a-54c5-4f0b-9a57-6d5d2f8a3b11';

/** An event's id: UUID v5 (RFC 9562) of its entity, version and command, distinct also when a command id returns. */
export function eventIdOf(of: {
  readonly entityType: string;
  readonly entityId: string;
  readonly version: number;
  readonly commandId: string;
}): string {
  return v5(`${of.entityType}/${of.entityId}/${of.version}/${of.commandId}`, EVENT_NAMESPACE);
}
