import type { Message, Producer } from 'kafkajs';
import { refuseTooLarge, type OutboxMessage, type Sink } from '../sink';

export interface KafkaOptions {
  /** `host:port,host:port`. */
  readonly brokers: string;
  /** Topics are `<prefix>.<entity type>`, so that all events of an entity share one. Default `reprise`. */
  readonly prefix?: string;
  /** Bytes a message may have. Default 1,000,000: a little below the brokers' own default. */
  readonly bytesMax?: number;
}

const BYTES_MAX = 1_000_000;
const REQUEST_MS_MAX = 5_000;

interface Waiting {
  readonly message: OutboxMessage;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Kafka, by an idempotent producer; key = entity id. What arrives during a request forms the next one. */
export async function openKafka({ brokers, prefix = 'reprise', bytesMax = BYTES_MAX }: KafkaOptions): Promise<Sink> {
  const producer = await connectProducer(brokers);
  let waiting: Waiting[] = [];
  let sending = false;

  async function sendWaiting(): Promise<void> {
    sending = true;
    while (waiting.length > 0) {
      const sends = waiting;
      waiting = [];
      try {
        await producer.sendBatch({ acks: -1, topicMessages: byTopic(sends, prefix) });
        for (const { resolve } of sends) resolve();
      } catch (error) {
        for (const { reject } of sends) reject(error);
      }
    }
    sending = false;
  }

  return {
    warnings: [],
    publish: async (message) => {
      refuseTooLarge(Buffer.byteLength(message.body), bytesMax, 'Kafka');
      await new Promise<void>((resolve, reject) => {
        waiting.push({ message, resolve, reject });
        if (!sending) setImmediate(() => void (sending ? undefined : sendWaiting()));
      });
    },
    close: () => producer.disconnect(),
  };
}

/** An optional peer: most teams have no Kafka. */
async function connectProducer(brokers: string): Promise<Producer> {
  const { Kafka, logLevel } = await import('kafkajs').catch((cause: unknown) => {
    throw new Error("a Kafka sink needs the package 'kafkajs': npm install kafkajs@2.2.4", { cause });
  });
  const kafka = new Kafka({
    clientId: 'reprise-relay',
    brokers: brokers.split(','),
    requestTimeout: REQUEST_MS_MAX,
    connectionTimeout: REQUEST_MS_MAX,
    logLevel: logLevel.NOTHING,
    retry: { retries: 2, initialRetryTime: 100 },
  });
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1, allowAutoTopicCreation: true });
  await producer.connect();
  return producer;
}

function byTopic(sends: readonly Waiting[], prefix: string): { topic: string; messages: Message[] }[] {
  const topics = new Map<string, Message[]>();
  for (const { message } of sends) {
    const topic = `${prefix}.${message.entity.slice(0, message.entity.indexOf('/'))}`;
    const messages = topics.get(topic) ?? [];
    messages.push({ key: message.key, value: message.body, headers: { id: message.eventId, type: message.topic } });
    topics.set(topic, messages);
  }
  return [...topics].map(([topic, messages]) => ({ topic, messages }));
}
