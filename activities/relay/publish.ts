import { setTimeout } from 'node:timers/promises';
import type { ConsumerWatch } from '../watch';
import { MessageRefused, SinkUnavailable, type OutboxMessage, type Sink } from '../../relay/sink';
import { inLines } from '../lines';

export interface PublishPorts {
  readonly sink: Sink;
  readonly signal: AbortSignal;
  /** Called at each acknowledgement, with how long its try took. */
  readonly onAcknowledged: (message: OutboxMessage, ms: number) => void;
  readonly watch: ConsumerWatch;
}

/** A message that stays refused while others are taken. */
export interface RefusedMessage {
  readonly message: OutboxMessage;
  readonly error: unknown;
  readonly attempts: number;
}

// 0.1, 0.2, 0.4, 0.8 s, each with up to as much jitter again.
const ATTEMPTS_MAX = 5;
const RETRY_MS = 100;

/**
 * Publishes a round: pipelined across entities, one unacknowledged message at a time within each, since one negative
 * acknowledgement inside a pipelined entity would reorder it. Throws what the broker said when nothing gets through.
 */
export async function publishRound(messages: readonly OutboxMessage[], ports: PublishPorts): Promise<RefusedMessage[]> {
  const refused: RefusedMessage[] = [];
  let acknowledged = 0;
  // All of them settle before an error goes on: what is in flight would else be acknowledged behind our back.
  const lines = await Promise.allSettled(inLines(messages, ({ entity }) => entity).map(publishLine));
  const failed = lines.find((line) => line.status === 'rejected');
  if (failed) throw failed.reason;
  return refused;

  async function publishLine(line: readonly OutboxMessage[]): Promise<void> {
    for (const message of line) {
      if (ports.signal.aborted) return;
      const failure = await publishOne(message);
      if (failure) return void refused.push(failure);
    }
  }

  async function publishOne(message: OutboxMessage): Promise<RefusedMessage | null> {
    let atFirstFailure: number | undefined;
    for (let attempt = 1; ; attempt++) {
      ports.watch.onTry(attempt > 1);
      const startedAt = performance.now();
      try {
        await ports.sink.publish(message);
        acknowledged += 1;
        ports.onAcknowledged(message, performance.now() - startedAt);
        return null;
      } catch (error) {
        ports.watch.onError();
        if (error instanceof MessageRefused) return { message, error, attempts: attempt };
        atFirstFailure ??= acknowledged;
        if (attempt === ATTEMPTS_MAX) {
          // Others got through since it failed first, so it is this message; else it is the broker.
          const itself = acknowledged > atFirstFailure && !(error instanceof SinkUnavailable);
          if (itself) return { message, error, attempts: attempt };
          throw error;
        }
        await backOff(attempt);
        if (ports.signal.aborted) throw error;
      }
    }
  }

  async function backOff(attempt: number): Promise<void> {
    const ms = RETRY_MS * 2 ** (attempt - 1) * (1 + Math.random());
    await setTimeout(ms, undefined, { signal: ports.signal }).catch(() => undefined);
  }
}
