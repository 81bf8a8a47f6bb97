import { setMaxListeners } from 'node:events';
import type { Pool } from 'pg';
import { asSkipped, parseEnvelope } from '../contracts/envelope';
import { withTransaction } from '../db/pool';
import { noteWarnings } from '../db/sinks';
import type { WakeListener } from '../db/wake';
import type { OutboxMessage, Sink } from '../relay/sink';
import { park } from './park';
import { lockForDone, PARKED_MAX, stopWhenFull, takeOver } from './tail/checkpoints';
import { readNext, readStanding, removeAcknowledged, type RoundLimits, type Standing } from './relay/outbox';
import { publishRound, type RefusedMessage } from './relay/publish';
import { NOT_WATCHED, type ConsumerWatch } from './watch';

export interface RelayPorts {
  /** A pool logged in as `reprise_relay`. */
  readonly db: Pool;
  readonly wakes: WakeListener;
  readonly heartbeat: (details: unknown) => void;
  /** Aborted when the worker stops or the workflow is cancelled; what is in flight is waited for. */
  readonly signal: AbortSignal;
  /** Connects to the broker; the relay closes it. */
  readonly open: () => Promise<Sink>;
  readonly onPublished?: (message: OutboxMessage, ms: number) => void;
  /** More parked entities than this stop the whole relay. Default 100. */
  readonly parkedMax?: number | undefined;
  readonly watch?: ConsumerWatch;
}

const ROUND_MESSAGES = 2_000;
const PER_PARTITION_MIN = 32;
// One round is published while the next is read. Without it 2,000 messages of 1 MB were 2 GB.
const ROUND_BYTES = 16_000_000;

// Now and then the relay reads from the first row again: that is when entities that were redriven go on, in order.
const ROUNDS_FROM_START = 20;

const SLOW_POLL_MS = 2_000;
const HEARTBEAT_MS = 2_000;
const TURN_MS = 60 * 60 * 1_000;

/**
 * Publishes one sink's rows: a round is read, published and removed while the next one is read. A second relay takes
 * over by raising the epoch; the first, should it live, can only repeat what it has read, in the same order.
 * A second run repeats what was published and not yet removed.
 */
export async function relayOutbox(sinkName: string, ports: RelayPorts): Promise<void> {
  const consumer = `relay/${sinkName}`;
  // From the start: to be told that a broker does not answer can take longer than a relay may be silent.
  const beating = setInterval(() => ports.heartbeat({ consumer }), HEARTBEAT_MS);
  try {
    const { epoch } = await takeOver(ports.db, { consumer, generation: 0 });
    const sink = await ports.open();
    try {
      await relayUntilOver({ sinkName, consumer, epoch, sink }, ports);
    } finally {
      await sink.close();
    }
  } finally {
    clearInterval(beating);
  }
}

interface Owned {
  readonly sinkName: string;
  readonly consumer: string;
  readonly epoch: number;
  readonly sink: Sink;
}

async function relayUntilOver({ sinkName, consumer, epoch, sink }: Owned, ports: RelayPorts): Promise<void> {
  const { db, wakes, signal, parkedMax = PARKED_MAX, watch = NOT_WATCHED } = ports;
  setMaxListeners(0, signal); // every message that is tried again waits on it
  await noteWarnings(db, sinkName, sink.warnings);
  let noted = sink.warnings.length;
  const turnEnds = Date.now() + TURN_MS;
  while (!signal.aborted && Date.now() < turnEnds) {
    const heard = wakes.heard();
    const moved = await relayFromStart();
    if (sink.warnings.length > noted) await noteWarnings(db, sinkName, sink.warnings);
    noted = sink.warnings.length;
    if (!moved) await wakes.next(heard, SLOW_POLL_MS, signal);
  }

  /** Rounds from the first row on, each read while the one before is published. False when there was nothing to do. */
  async function relayFromStart(): Promise<boolean> {
    const standing = await readStanding(db, consumer, epoch, true);
    if (!standing.running) return false;
    const parked = new Set(standing.parked);
    const read = reader(standing);
    let round = await read();
    if (round.length === 0) return false;
    let removing: Promise<void> = Promise.resolve();
    for (let nth = 1; round.length > 0 && !signal.aborted; nth++) {
      const next = nth < ROUNDS_FROM_START ? read() : Promise.resolve([]);
      next.catch(() => undefined); // told below, after what is in flight
      const acknowledged = await publish(round, parked, standing.skipped);
      await removing;
      removing = removeAcknowledged(db, { consumer, sink: sinkName, epoch }, acknowledged);
      removing.catch(() => undefined);
      round = await next;
      if (round.length > 0 && !(await readStanding(db, consumer, epoch, false)).running) break;
    }
    await removing;
    return true;
  }

  /** What a broker that fails has acknowledged so far is removed before its error goes on. */
  async function publish(
    round: readonly OutboxMessage[],
    parked: Set<string>,
    skipped: ReadonlySet<string>,
  ): Promise<OutboxMessage[]> {
    const acknowledged: OutboxMessage[] = [];
    const due = round.filter(({ entity }) => !parked.has(entity)).map((message) => passOver(message, skipped));
    try {
      const refused = await publishRound(due, {
        sink,
        signal,
        watch,
        onAcknowledged: (message, ms) => {
          acknowledged.push(message);
          watch.onPublished(ms);
          ports.onPublished?.(message, ms);
        },
      });
      await parkAll(refused, parked);
      return acknowledged;
    } catch (error) {
      await removeAcknowledged(db, { consumer, sink: sinkName, epoch }, acknowledged);
      throw error;
    }
  }

  /** One more than may be is enough to stop: the rest is held back by this turn alone, and comes again with the next. */
  async function parkAll(refused: readonly RefusedMessage[], parked: Set<string>): Promise<void> {
    for (const one of refused) {
      if (parked.size <= parkedMax) await parkRefused(one);
      parked.add(one.message.entity);
    }
    if (refused.length > 0) await stopWhenFull(db, { consumer, generation: 0 }, parkedMax);
  }

  /** Under its checkpoint's lock: what a zombie finds refused may have been skipped, and published, since. */
  async function parkRefused({ message, error, attempts }: RefusedMessage): Promise<void> {
    const slash = message.entity.indexOf('/');
    const [entityType, entityId] = [message.entity.slice(0, slash), message.entity.slice(slash + 1)];
    const { offset, eventId, partition } = message;
    await withTransaction(db, async (tx) => {
      await lockForDone(tx, { consumer, generation: 0 }, epoch, [partition]);
      await park(tx, { consumer, generation: 0, entityType, entityId, offset, eventId, error, attempts });
    });
  }

  function reader({ parked, partitions }: Standing): () => Promise<OutboxMessage[]> {
    const cursor = new Map(Array.from({ length: partitions }, (_, partition) => [partition, 0]));
    let limits = share(partitions);
    return async () => {
      const messages = await readNext(db, sinkName, { cursor, parked, limits });
      for (const { partition, offset } of messages) cursor.set(partition, offset);
      // Few partitions with a backlog share a round among themselves.
      limits = share(new Set(messages.map(({ partition }) => partition)).size);
      return messages;
    };
  }
}

function share(partitions: number): RoundLimits {
  const among = Math.max(1, partitions);
  return {
    messages: Math.max(PER_PARTITION_MIN, Math.floor(ROUND_MESSAGES / among)),
    bytes: Math.ceil(ROUND_BYTES / among),
  };
}

function passOver(message: OutboxMessage, skipped: ReadonlySet<string>): OutboxMessage {
  if (!skipped.has(message.eventId)) return message;
  return { ...message, body: JSON.stringify(asSkipped(parseEnvelope(message.body))) };
}
