import type { Socket } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { connect, type ChannelModel } from 'amqplib';
import { MessageRefused, refuseTooLarge, SinkUnavailable, type Sink } from '../sink';
import { makePublisher, type Outgoing, type Publisher } from './rabbitmq-channel';

export interface RabbitMqOptions {
  readonly url: string;
  /** A durable topic exchange; routing key = event type. Default `reprise`. */
  readonly exchange?: string;
  /** Bytes a message may have; RabbitMQ closes the channel on a larger one. Default 16 MiB, as RabbitMQ 4. */
  readonly bytesMax?: number;
}

const CONNECT_MS_MAX = 5_000;
const CLOSE_MS_MAX = 2_000;
const BYTES_MAX = 16 * 1024 * 1024;
// A message over max_message_size, among others.
const PRECONDITION_FAILED = 406;

/** RabbitMQ with publisher confirms. With its plugin there is also `<exchange>.by-entity`, which keeps an entity on one queue. */
export async function openRabbitMq(options: RabbitMqOptions): Promise<Sink> {
  const { url, exchange = 'reprise' } = options;
  const hashed = await canHash(url, `${exchange}.by-entity`);
  const connection = await connect(url, { timeout: CONNECT_MS_MAX });
  try {
    return await openOn(connection, { ...options, exchange }, hashed);
  } catch (error) {
    await close(connection);
    throw error;
  }
}

async function openOn(
  connection: ChannelModel,
  { exchange, bytesMax = BYTES_MAX }: RabbitMqOptions & { readonly exchange: string },
  hashed: boolean,
): Promise<Sink> {
  let broken: Error | null = null;
  connection.on('error', (error: Error) => (broken ??= error));
  connection.on('close', () => (broken ??= new Error('RabbitMQ closed the connection')));
  await declare(connection, exchange, hashed);
  const warnings: string[] = [];
  const unrouted = new Set<string>();
  const onUnrouted = (topic: string) => {
    if (unrouted.has(topic)) return;
    unrouted.add(topic);
    warnings.push(`no queue is bound to exchange ${exchange} for ${topic}: RabbitMQ drops such messages`);
  };
  const together = makePublisher(connection, { exchange, onUnrouted });
  const alone = oneAtATime(makePublisher(connection, { exchange, onUnrouted }));
  return {
    warnings,
    publish: async ({ topic, eventId, entity, body }) => {
      if (broken) throw asUnavailable(broken);
      const content = Buffer.from(body);
      refuseTooLarge(content.length, bytesMax, 'RabbitMQ');
      const message: Outgoing = { topic, content, messageId: eventId, headers: { partitionkey: entity } };
      try {
        await together.publish(message);
      } catch (error) {
        // RabbitMQ closes the channel, and with it whatever was under way: which of them it meant is found apart.
        if (!isPrecondition(error)) throw asUnavailable(error);
        await alone(message);
      }
    },
    close: () => close(connection),
  };
}

/** A broker that answers nothing any more is not waited for: its relay would hang in its last step. */
async function close(connection: ChannelModel): Promise<void> {
  const silent = new AbortController();
  const { signal } = silent;
  const givenUp = setTimeout(CLOSE_MS_MAX, true, { signal }).catch(() => false);
  const closed = connection.close().then(
    () => false,
    () => false,
  );
  if (await Promise.race([closed, givenUp])) (connection.connection as unknown as { stream: Socket }).stream.destroy();
  silent.abort();
}

/** On a channel that is closed when the exchange is of another kind. */
async function declare(connection: ChannelModel, exchange: string, hashed: boolean): Promise<void> {
  const channel = await connection.createChannel();
  channel.on('error', () => undefined); // told by what was asked
  await channel.assertExchange(exchange, 'topic', { durable: true });
  if (hashed) await channel.bindExchange(`${exchange}.by-entity`, exchange, '#');
  await channel.close();
}

/** The only one under way on its channel, so that it is meant when the broker closes it. */
function oneAtATime({ publish }: Publisher): (message: Outgoing) => Promise<void> {
  let last: Promise<void> = Promise.resolve();
  return (message) => {
    const mine = last.then(async () => {
      await publish(message).catch((error: unknown) => {
        if (!isPrecondition(error)) throw asUnavailable(error);
        throw new MessageRefused(`RabbitMQ: ${(error as Error).message}: raise its limit and redrive`, {
          cause: error,
        });
      });
    });
    last = mine.catch(() => undefined);
    return mine;
  };
}

const isPrecondition = (error: unknown): boolean =>
  (error as { readonly code?: unknown } | null)?.code === PRECONDITION_FAILED;

/** A queue that is full or has lost its leader, no confirm: whatever else RabbitMQ says is not about this message. */
const asUnavailable = (cause: unknown): SinkUnavailable =>
  new SinkUnavailable(`RabbitMQ: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });

/** Declaring an exchange of a type that is not there closes the connection, so it is tried on one of its own. */
async function canHash(url: string, exchange: string): Promise<boolean> {
  const connection = await connect(url, { timeout: CONNECT_MS_MAX });
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
    await close(connection);
  }
}
