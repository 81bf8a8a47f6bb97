import {
  jetstream,
  jetstreamManager,
  JetStreamApiError,
  type JetStreamClient,
  type JetStreamManager,
} from '@nats-io/jetstream';
import { connect, nanos, type NatsConnection } from '@nats-io/transport-node';
import { MessageRefused, refuseTooLarge, SinkUnavailable, type OutboxMessage, type Sink } from '../sink';

export interface NatsOptions {
  readonly url: string;
  /** The stream that keeps the messages; made when it is not there. Default `REPRISE`. */
  readonly stream?: string;
  /** Subjects are `<prefix>.<event type>`. Default `reprise`. */
  readonly prefix?: string;
}

const ACK_MS_MAX = 5_000;
// How long the broker remembers message ids: a relay that was away for less repeats without a trace.
const DEDUP_MS = 10 * 60 * 1_000;

// JetStream's own codes (server/errors.json): a message larger than the stream takes.
const MESSAGE_EXCEEDS_MAXIMUM = 10_054;
const STREAM_NOT_FOUND = 10_059;
const HEADERS_BYTES_MAX = 200;
const BYTES_MAX = 1_048_576;

/** NATS JetStream. The message id is the event id, so that the broker drops a repeat. */
export async function openNats({ url, stream = 'REPRISE', prefix = 'reprise' }: NatsOptions): Promise<Sink> {
  let newest = await dial(url);
  const opened = [newest];
  const close = async () => {
    await Promise.all(opened.map(({ connection }) => connection.close()));
  };
  let looking: Promise<number> | null = null;
  try {
    const warnings = await ensureStream(await jetstreamManager(newest.connection), stream, prefix);
    return { warnings, publish, close };
  } catch (error) {
    await close();
    throw error;
  }

  async function publish({ topic, eventId, body }: OutboxMessage): Promise<void> {
    const bytes = Buffer.byteLength(body) + HEADERS_BYTES_MAX;
    if (bytes > bytesMaxOf(newest)) refuseTooLarge(bytes, await lookAtLimit(), 'NATS');
    try {
      await newest.js.publish(`${prefix}.${topic}`, body, { msgID: eventId, timeout: ACK_MS_MAX });
    } catch (error) {
      const { message } = error as Error;
      if (error instanceof JetStreamApiError && error.code === MESSAGE_EXCEEDS_MAXIMUM) {
        throw new MessageRefused(`stream ${stream}: ${message}`, { cause: error });
      }
      // Full, without a leader, no answer: whatever else JetStream says is not about this message.
      throw new SinkUnavailable(`stream ${stream}: ${message}`, { cause: error });
    }
  }

  /** A connection is told the server's limit when it is made, and not when it is raised: a new one knows, and is used then. */
  function lookAtLimit(): Promise<number> {
    looking ??= dial(url)
      .then(async (link) => {
        if (bytesMaxOf(link) <= bytesMaxOf(newest)) await link.connection.close();
        else opened.push((newest = link));
        return bytesMaxOf(newest);
      })
      .finally(() => (looking = null));
    return looking;
  }
}

interface Link {
  readonly connection: NatsConnection;
  readonly js: JetStreamClient;
}

async function dial(url: string): Promise<Link> {
  const connection = await connect({
    servers: url.split(','),
    name: 'reprise-relay',
    timeout: ACK_MS_MAX,
    maxReconnectAttempts: 3,
    reconnectTimeWait: 250,
    ...credentials(url),
  });
  return { connection, js: jetstream(connection) };
}

const bytesMaxOf = ({ connection }: Link): number => connection.info?.max_payload ?? BYTES_MAX;

/** Made when missing, checked when there; answers what is doubtful about it. */
async function ensureStream(manager: JetStreamManager, name: string, prefix: string): Promise<string[]> {
  const subjects = [`${prefix}.>`];
  const info = await manager.streams.info(name).catch((error: unknown) => {
    if (error instanceof JetStreamApiError && error.code === STREAM_NOT_FOUND) return null;
    throw error;
  });
  const { config } =
    info ?? (await manager.streams.add({ name, subjects, duplicate_window: nanos(DEDUP_MS), storage: 'file' }));
  if (!config.subjects.some((subject) => subject === subjects[0] || subject === '>')) {
    throw new Error(`stream ${name} does not take ${subjects[0]}: give the sink another stream, or it that subject`);
  }
  const warnings: string[] = [];
  if (config.storage === 'memory') warnings.push(`stream ${name} is kept in memory: a restart of NATS loses it`);
  else if (config.num_replicas < 3) {
    warnings.push(
      `stream ${name} has ${config.num_replicas} replica: unless its server runs with 'sync_interval: always', ` +
        'a power failure loses messages that were acknowledged (44 % of 55,848 in a test)',
    );
  }
  return warnings;
}

type Credentials = { readonly user: string; readonly pass: string } | { readonly token: string } | object;

/** From the address, as every other client takes them; alone before the host it is a token. What cannot be read is not echoed. */
function credentials(url: string): Credentials {
  const [first = ''] = url.split(',');
  try {
    const { username, password } = new URL(first.includes('://') ? first : `nats://${first}`);
    if (username === '') return {};
    if (password === '') return { token: decodeURIComponent(username) };
    return { user: decodeURIComponent(username), pass: decodeURIComponent(password) };
  } catch {
    throw new Error("NATS_URL is no address of NATS: 'nats://user:password@host:4222', several with commas between");
  }
}
