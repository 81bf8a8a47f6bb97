import { connect, type ConfirmChannel } from 'amqplib';
import { refuseTooLarge, type Sink } from '../sink';

export interface RabbitMqOptions {
  readonly url: string;
  /** A durable topic exchange; routing key = event type. Default `reprise`. */
  readonly exchange?: string;
  /** Bytes a message may have; RabbitMQ closes the channel on a larger one. Default 16 MiB, as RabbitMQ 4. */
  readonly bytesMax?: number;
}

const CONFIRM_MS_MAX = 5_000;
const BYTES_MAX = 16 * 1024 * 1024;

/** RabbitMQ with publisher confirms. With its plugin there is also `<exchange>.by-entity`, which keeps an entity on one queue. */
export async function openRabbitMq(options: RabbitMqOptions): Promise<Sink> {
  const { url, exchange = 'reprise', bytesMax = BYTES_MAX } = options;
  const hashed = await canHash(url, `${exchange}.by-entity`);
  const connection = await connect(url, { timeout: CONFIRM_MS_MAX });
  let broken: Error | null = null;
  const breakWith = (error: Error) => {
    broken ??= error;
  };
  connection.on('error', breakWith);
  connection.on('close', () => breakWith(new Error('RabbitMQ closed the connection')));
  const channel = await connection.createConfirmChannel();
  channel.on('error', breakWith);
  channel.on('close', () => breakWith(new Error('RabbitMQ closed the channel')));
  await channel.assertExchange(exchange, 'topic', { durable: true });
  if (hashed) await channel.bindExchange(`${exchange}.by-entity`, exchange, '#');
  return {
    warnings: [],
    publish: async ({ topic, eventId, entity, body }) => {
      if (broken) throw broken;
      const content = Buffer.from(body);
      refuseTooLarge(content.length, bytesMax, 'RabbitMQ');
      await confirmed(channel, exchange, topic, content, { messageId: eventId, headers: { partitionkey: entity } });
    },
    close: async () => {
      await connection.close().catch(() => undefined);
    },
  };
}

interface Properties {
  readonly messageId: string;
  readonly headers: Record<string, string>;
}

function confirmed(
  channel: ConfirmChannel,
  exchange: string,
  topic: string,
  content: Buffer,
  properties: Properties,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no confirm within ${CONFIRM_MS_MAX} ms`)), CONFIRM_MS_MAX);
    const settle = (error: unknown) => {
      clearTimeout(timer);
      if (error) reject(error instanceof Error ? error : new Error('RabbitMQ did not take the message'));
      else resolve();
    };
    channel.publish(
      exchange,
      topic,
      content,
      { ...properties, persistent: true, contentType: 'application/cloudevents+json', type: topic },
      settle,
    );
  });
}

/** Declaring an exchange of a type that is not there closes the connection, so it is tried on one of its own. */
async function canHash(url: string, exchange: string): Promise<boolean> {
  const connection = await connect(url, { timeout: CONFIRM_MS_MAX });
  connection.on('error', () => undefined);
  try {
    const channel = await connection.createChannel();
    channel.on('error', () => undefined);
    const args = { 'hash-header': 'partitionkey' };
    await channel.assertExchange(exchange, 'x-consistent-hash', { durable: true, arguments: args });
    return true;
  } catch {
    return false;
  } finally {
    await connection.close().catch(() => undefined);
  }
}
