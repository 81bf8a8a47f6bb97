import type { Sink } from './sink';
import { openKafka } from './sinks/kafka';
import { openNats } from './sinks/nats';
import { openRabbitMq } from './sinks/rabbitmq';

/** Kinds of sinks, each with the variable that says where its broker is: an address holds a secret, so no row has it. */
export const SINK_KINDS = { nats: 'NATS_URL', rabbitmq: 'AMQP_URL', kafka: 'KAFKA_BROKERS' } as const;
export type SinkKind = keyof typeof SINK_KINDS;

/** Names that differ from the defaults: `stream`, `prefix` (NATS), `exchange` (RabbitMQ), `prefix` (Kafka), `bytesMax`. */
export type SinkOptions = Readonly<Record<string, string | number>>;

export interface SinkRow {
  readonly sink: string;
  readonly kind: SinkKind;
  readonly options: SinkOptions;
}

/** Connects to the broker of a row of `sinks`. */
export async function openSink({ sink, kind, options }: SinkRow, env: NodeJS.ProcessEnv): Promise<Sink> {
  const address = env[SINK_KINDS[kind]];
  if (!address)
    throw new Error(`sink '${sink}' is of kind ${kind}: set ${SINK_KINDS[kind]} for the worker that relays`);
  switch (kind) {
    case 'nats':
      return openNats({ ...options, url: address });
    case 'rabbitmq':
      return openRabbitMq({ ...options, url: address });
    case 'kafka':
      return openKafka({ ...options, brokers: address });
  }
}
