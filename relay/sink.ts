/** A message as its outbox row has it. */
export interface OutboxMessage {
  readonly partition: number;
  readonly offset: number;
  readonly eventId: string;
  /** The event's type: `order.created`. */
  readonly topic: string;
  /** The entity's id. */
  readonly key: string;
  /** `order/10248`: messages of one entity are published one after the other. */
  readonly entity: string;
  /** A CloudEvents 1.0 envelope, as JSON text. */
  readonly body: string;
}

/** Where a relay publishes: NATS JetStream, RabbitMQ, Kafka. */
export interface Sink {
  /**
   * Resolves when the broker has acknowledged. Rejects with `MessageRefused` when this message will never be taken;
   * with anything else when it may be taken later. Published twice, it is there once or twice, never changed.
   */
  readonly publish: (message: OutboxMessage) => Promise<void>;
  /** What an operator should know about the broker: it loses what it acknowledged, nobody listens … More may come. */
  readonly warnings: readonly string[];
  readonly close: () => Promise<void>;
}

/** The broker, or its limit, refuses this one message for good; its neighbours are welcome. */
export class MessageRefused extends Error {
  override readonly name = 'MessageRefused';
}

/** The broker takes nothing now: it is full, or nobody answers. No message is to blame. */
export class SinkUnavailable extends Error {
  override readonly name = 'SinkUnavailable';
}

/** Throws `MessageRefused` for a body that no retry makes smaller. */
export function refuseTooLarge(bytes: number, bytesMax: number, broker: string): void {
  if (bytes <= bytesMax) return;
  throw new MessageRefused(`the message has ${bytes} bytes, ${broker} takes ${bytesMax}: raise its limit and redrive`);
}
