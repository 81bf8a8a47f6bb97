import { pause } from '../activities/pause';
import { tailLog, type OutsideConsumer } from '../activities/tail';
import type { PublishedEvent } from '../activities/tail/read-log';
import { asSkipped, toEnvelope, type Envelope } from '../contracts/envelope';
import { toPublic } from '../contracts/public-shape';
import { ensureCheckpoints } from '../db/checkpoints';
import { kindOf } from '../db/errors';
import { openPool } from '../db/pool';
import { listenForWakes } from '../db/wake';
import type { Model } from '../model/model';
import { feedConsumer } from '../workflows/names';
import { whileOwner } from './feed-owner';

/** Called with one event after the other of an entity, several entities at a time; again after a crash or a failure. */
export type Subscriber = (event: Envelope) => Promise<void> | void;

export interface SubscribeOptions {
  /** Where a new subscription begins: the first event of the log (default), or the next one to be committed. */
  readonly from?: 'beginning' | 'head';
  /**
   * Event types; all published ones by default. `previousversion` still names the last one published of any type, so the
   * consumer kit's inbox would wait for those left out: with an inbox take all, and pass over in the handler.
   */
  readonly types?: readonly string[];
  /** Entities at the same time. Default 16. */
  readonly concurrency?: number;
  /** More parked entities than this stop the subscription. Default 100. */
  readonly parkedMax?: number;
  /** Told of what interrupts it, before it goes on by itself. */
  readonly onError?: (error: unknown) => void;
}

export interface Subscription {
  /** Takes no further event, finishes those under way, notes how far it came. */
  readonly stop: () => Promise<void>;
  /** Resolves after `stop`; rejects with what no waiting cures: a login without the grant, a database not migrated. */
  readonly finished: Promise<void>;
}

export interface FeedPorts {
  readonly model: Model;
  /** Login `reprise_feed`. */
  readonly url: string;
}

const NAME = /^[a-z][a-z0-9._-]{0,62}$/;
const CONCURRENCY = 16;
const CONCURRENCY_MAX = 1_000;
// As many as PostgreSQL's integer counts.
const PARKED_MAX_MAX = 2 ** 31 - 1;
// What is done again after a crash, at most.
const CHUNK_EVENTS = 500;
const CONNECTIONS = 2;
const RETRY_MS = 1_000;

/** Reads the log in its public shape with a checkpoint of its own. One process of a name at a time; others stand by. */
export function subscribe(
  ports: FeedPorts,
  name: string,
  subscriber: Subscriber,
  options: SubscribeOptions,
): Subscription {
  const { model } = ports;
  checkOptions(model, name, options);
  const stopping = new AbortController();
  const consumer = makeFeed(model, name, subscriber, options);
  const finished = keepReading(ports, consumer, options, stopping.signal);
  finished.catch(() => undefined);
  return {
    finished,
    stop: async () => {
      stopping.abort();
      await finished.catch(() => undefined);
    },
  };
}

/** What it would read wrongly, or pass over in silence, is refused before anything is read. */
function checkOptions(model: Model, name: string, options: SubscribeOptions): void {
  const refuse = (why: string): never => {
    throw new RangeError(`subscription '${name}': ${why}`);
  };
  const { from = 'beginning', types, concurrency = CONCURRENCY, parkedMax = 0 } = options;
  if (!NAME.test(name)) refuse(`a name is lower case letters, digits, '.', '_', '-'`);
  const unknownType = types?.find((type) => model.event(type)?.visibility !== 'public');
  if (unknownType !== undefined) refuse(`'${unknownType}' is no public event`);
  if (types?.length === 0) refuse('types names no event: leave it out for all of them');
  if (from !== 'beginning' && from !== 'head') refuse(`from is 'beginning' or 'head', not '${String(from)}'`);
  if (!isWhole(concurrency, { min: 1, max: CONCURRENCY_MAX }))
    refuse(`concurrency is a whole number from 1 to ${CONCURRENCY_MAX}, not ${concurrency}`);
  if (!isWhole(parkedMax, { min: 0, max: PARKED_MAX_MAX }))
    refuse(`parkedMax is a whole number from 0, not ${parkedMax}`);
}

const isWhole = (value: number, { min, max }: { readonly min: number; readonly max: number }): boolean =>
  Number.isInteger(value) && value >= min && value <= max;

function makeFeed(
  model: Model,
  name: string,
  subscriber: Subscriber,
  { types, concurrency = CONCURRENCY }: SubscribeOptions,
): OutsideConsumer {
  return {
    consumer: feedConsumer(name),
    generation: 0,
    model,
    concerns: ({ publishedAfter, type }) => publishedAfter !== null && (types?.includes(type) ?? true),
    actOn: async (event) => subscriber(asPublished(model, event)),
    blames: () => 'retry',
    concurrency,
    chunkEvents: CHUNK_EVENTS,
  };
}

/** As a relay would have published it; old data is lifted first. Of a skipped one nothing is read that might fail again. */
function asPublished(model: Model, event: PublishedEvent): Envelope {
  const publishedAfter = event.publishedAfter ?? 0;
  if (event.skipped) return asSkipped(toEnvelope(event, { publishedAfter, shape: { version: 0, data: undefined } }));
  const contract = model.event(event.type);
  if (!contract) throw new Error(`'${event.type}' is not in the model`);
  return toEnvelope(event, { publishedAfter, shape: toPublic(contract, model.lift(event).data) });
}

async function keepReading(
  { url }: FeedPorts,
  consumer: OutsideConsumer,
  options: SubscribeOptions,
  signal: AbortSignal,
): Promise<void> {
  const db = openPool({ url, max: CONNECTIONS, applicationName: 'reprise-feed' });
  const wakes = listenForWakes(url);
  const { parkedMax, onError } = options;
  try {
    while (!signal.aborted) {
      try {
        await ensureCheckpoints(db, consumer.consumer, options.from ?? 'beginning');
        await whileOwner({ url, consumer: consumer.consumer, signal }, (owned) =>
          tailLog(consumer, {
            db,
            wakes,
            heartbeat: () => undefined,
            signal: owned,
            ...(parkedMax === undefined ? {} : { parkedMax }),
          }),
        );
      } catch (error) {
        if (isForGood(error)) throw error;
        onError?.(error);
        await pause(RETRY_MS, signal);
      }
    }
  } finally {
    await wakes.close();
    await db.end();
  }
}

// A missing grant, login, password, database or table: nothing that passes.
const FOR_GOOD = new Set(['42501', '28000', '28P01', '3D000', '42P01', '3F000']);

const isForGood = (error: unknown): boolean =>
  kindOf(error) !== 'passing' && FOR_GOOD.has((error as { code?: string } | null)?.code ?? '');
