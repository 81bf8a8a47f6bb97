import type { ChannelModel, ConfirmChannel } from 'amqplib';

export interface Outgoing {
  readonly topic: string;
  readonly content: Buffer;
  readonly messageId: string;
  readonly headers: Readonly<Record<string, string>>;
}

export interface Publisher {
  /** Resolves when the broker has confirmed; rejects with its own error when it closed the channel. */
  readonly publish: (message: Outgoing) => Promise<void>;
}

export interface PublisherOptions {
  readonly exchange: string;
  /** Told of a message that no queue is bound for: confirmed, and dropped. */
  readonly onUnrouted: (topic: string) => void;
}

const CONFIRM_MS_MAX = 5_000;

interface OpenChannel {
  readonly channel: ConfirmChannel;
  /** What the broker closed it with. */
  closedBy: Error | null;
}

/** Publishes on a channel of its own. One that the broker closes takes with it what was under way; the next is new. */
export function makePublisher(connection: ChannelModel, { exchange, onUnrouted }: PublisherOptions): Publisher {
  let opening: Promise<OpenChannel> | null = null;

  async function open(): Promise<OpenChannel> {
    const one: OpenChannel = { channel: await connection.createConfirmChannel(), closedBy: null };
    one.channel.on('error', (error: Error) => {
      one.closedBy = error;
      opening = null;
    });
    one.channel.on('close', () => (opening = null));
    one.channel.on('return', ({ fields }: { readonly fields: { readonly routingKey: string } }) =>
      onUnrouted(fields.routingKey),
    );
    return one;
  }

  async function channelNow(): Promise<OpenChannel> {
    opening ??= open();
    try {
      return await opening;
    } catch (error) {
      opening = null;
      throw error;
    }
  }

  async function publish({ topic, content, messageId, headers }: Outgoing): Promise<void> {
    const one = await channelNow();
    if (one.closedBy) throw one.closedBy;
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no confirm within ${CONFIRM_MS_MAX} ms`)), CONFIRM_MS_MAX);
      const settle = (error: unknown) => {
        clearTimeout(timer);
        if (!error) resolve();
        else reject(one.closedBy ?? (error instanceof Error ? error : new Error('RabbitMQ did not take the message')));
      };
      const properties = { messageId, headers, persistent: true, mandatory: true, type: topic };
      one.channel.publish(
        exchange,
        topic,
        content,
        { ...properties, contentType: 'application/cloudevents+json' },
        settle,
      );
    });
  }

  return { publish };
}
