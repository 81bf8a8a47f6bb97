import type { ICustomPartitioner, Message, Producer, RecordMetadata } from 'kafkajs';
import { MessageRefused, refuseTooLarge, SinkUnavailable, type OutboxMessage, type Sink } from '../sink';

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
const TOO_LARGE = new Set(['MESSAGE_TOO_LARGE', 'RECORD_LIST_TOO_LARGE']);
// As CloudEvents' binding for Kafka tells that the whole envelope is the value.
const CONTENT_TYPE = 'application/cloudevents+json; charset=UTF-8';

interface Waiting {
  readonly message: OutboxMessage;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Kafka, by an idempotent producer; key = entity id. What arrives during a request forms the next one. */
export async function openKafka({ brokers, prefix = 'reprise', bytesMax = BYTES_MAX }: KafkaOptions): Promise<Sink> {
  let producer: CheckedProducer | null = await connectProducer(brokers);
  const waiting: Waiting[] = [];
  let sending = false;

  async function sendWaiting(): Promise<void> {
    sending = true;
    while (waiting.length > 0) await send(waiting.splice(0, fitting(waiting, bytesMax)));
    sending = false;
  }

  /** Settles all of them. Kafka fails a whole request for one message: the halves are sent until it is alone. */
  async function send(sends: readonly Waiting[]): Promise<void> {
    try {
      await request(sends);
      for (const { resolve } of sends) resolve();
    } catch (error) {
      if (!isTooLarge(error)) return rejectAll(sends, error);
      if (sends.length === 1) return void sends[0]?.reject(new MessageRefused(tooLarge(error), { cause: error }));
      const half = Math.ceil(sends.length / 2);
      await send(sends.slice(0, half));
      await send(sends.slice(half));
    }
  }

  /**
   * A request that fails ends its producer: kafkajs takes back the sequence numbers of all its partitions, also of those
   * that took their part, and what had these numbers next would be dropped as a repeat, and acknowledged.
   */
  async function request(sends: readonly Waiting[]): Promise<void> {
    producer ??= await connectProducer(brokers);
    try {
      await producer.send(byTopic(sends, prefix));
    } catch (error) {
      const failed = producer;
      producer = null;
      await failed.disconnect().catch(() => undefined);
      throw error;
    }
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
    close: async () => {
      await producer?.disconnect();
    },
  };
}

/** A leader that moves, a topic that is not there yet, no answer: whatever else Kafka says is not about these messages. */
function rejectAll(sends: readonly Waiting[], cause: unknown): void {
  const error = new SinkUnavailable(`Kafka: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  for (const { reject } of sends) reject(error);
}

/** How many of them make a request: brokers bound what one carries for a partition, not only each message. */
function fitting(waiting: readonly Waiting[], bytesMax: number): number {
  let bytes = 0;
  const over = waiting.findIndex(({ message }) => (bytes += Buffer.byteLength(message.body)) > bytesMax);
  return over < 0 ? waiting.length : Math.max(1, over);
}

const isTooLarge = (error: unknown): boolean => TOO_LARGE.has((error as { readonly type?: string } | null)?.type ?? '');

const tooLarge = (error: unknown): string => `Kafka: ${(error as Error).message}: raise max.message.bytes and redrive`;

interface TopicMessages {
  readonly topic: string;
  readonly messages: Message[];
}

interface CheckedProducer {
  readonly send: (topicMessages: TopicMessages[]) => Promise<void>;
  readonly disconnect: () => Promise<void>;
}

/** An optional peer: most teams have no Kafka. */
async function connectProducer(brokers: string): Promise<CheckedProducer> {
  const { Kafka, logLevel, Partitioners } = await import('kafkajs').catch((cause: unknown) => {
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
  const chosen = new Set<string>();
  const producer = kafka.producer({
    idempotent: true,
    maxInFlightRequests: 1,
    allowAutoTopicCreation: true,
    createPartitioner: noting(chosen, Partitioners.DefaultPartitioner),
  });
  await producer.connect();
  return {
    send: (topicMessages) => sendChecked(producer, chosen, topicMessages),
    disconnect: () => producer.disconnect(),
  };
}

/**
 * kafkajs sends again to brokers that have not answered. A partition that moved meanwhile to one that has is sent nowhere, and
 * the whole said to be there: so each partition must have been answered for.
 */
async function sendChecked(producer: Producer, chosen: Set<string>, topicMessages: TopicMessages[]): Promise<void> {
  chosen.clear();
  const answers = await producer.sendBatch({ acks: -1, topicMessages });
  const answered = new Set(answers.map(({ topicName, partition }: RecordMetadata) => `${topicName}/${partition}`));
  const forgotten = [...chosen].filter((partition) => !answered.has(partition));
  if (forgotten.length > 0) throw new Error(`no broker answered for ${forgotten.join(', ')}`);
}

/** By the hash of the key, as others do; where each message goes is noted. */
function noting(chosen: Set<string>, createPartitioner: ICustomPartitioner): ICustomPartitioner {
  return () => {
    const choose = createPartitioner();
    return (message) => {
      const partition = choose(message);
      chosen.add(`${message.topic}/${partition}`);
      return partition;
    };
  };
}

function byTopic(sends: readonly Waiting[], prefix: string): TopicMessages[] {
  const topics = new Map<string, Message[]>();
  for (const { message } of sends) {
    const topic = `${prefix}.${message.entity.slice(0, message.entity.indexOf('/'))}`;
    const messages = topics.get(topic) ?? [];
    const headers = { 'content-type': CONTENT_TYPE, id: message.eventId, type: message.topic };
    messages.push({ key: message.key, value: message.body, headers });
    topics.set(topic, messages);
  }
  return [...topics].map(([topic, messages]) => ({ topic, messages }));
}
