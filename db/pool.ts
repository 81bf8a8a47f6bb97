import { Pool, types, type PoolClient } from 'pg';

export interface PoolOptions {
  readonly url: string;
  /** Connections at most: part of a stated budget per role. */
  readonly max: number;
  readonly applicationName: string;
  /** Whoever asks is told after this long that nothing answers. Default: longer than a statement may wait for a lock. */
  readonly answerMsMax?: number;
}

// What bounds a lock that a stopped process holds, whichever login it has: also set on every role.
const LOCKS_HELD_MS_MAX = 10_000;

// A server that is stopped, or a network that swallows packets, answers nothing: whoever waits is told after this long,
// and the connection is not used again. Longer than any statement of ours may wait for a lock.
const ANSWER_MS_MAX = 25_000;
const KEEPALIVE_AFTER_MS = 5_000;

const INT8 = 20;
const DATE = 1082;
const TIMESTAMPTZ = 1184;

/** A pool with the project's types: bigint as a safe number, times as ISO 8601 UTC text to the microsecond. */
export function openPool({ url, max, applicationName, answerMsMax = ANSWER_MS_MAX }: PoolOptions): Pool {
  const pool = new Pool({
    connectionString: url,
    max,
    application_name: applicationName,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEPALIVE_AFTER_MS,
    query_timeout: answerMsMax,
    connectionTimeoutMillis: Math.min(answerMsMax, LOCKS_HELD_MS_MAX),
    idle_in_transaction_session_timeout: LOCKS_HELD_MS_MAX,
    lock_timeout: LOCKS_HELD_MS_MAX,
    options: '-c timezone=UTC',
    types: { getTypeParser },
  });
  // An idle connection that dies is replaced on next use; without a listener it would end the process.
  pool.on('error', () => undefined);
  return pool;
}

const getTypeParser: typeof types.getTypeParser = ((oid: number, format?: 'text' | 'binary') => {
  if (oid === INT8) return toSafeInteger;
  if (oid === DATE) return (text: string) => text;
  if (oid === TIMESTAMPTZ) return toIso;
  return types.getTypeParser(oid, format as 'text') as unknown;
}) as typeof types.getTypeParser;

function toSafeInteger(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new Error(`bigint ${text} is beyond what a number holds exactly`);
  return value;
}

/** '1996-07-04 00:00:00.5+00' -> '1996-07-04T00:00:00.5Z'; the session's time zone is UTC. */
export const toIso = (text: string): string => text.replace(' ', 'T').replace('+00', 'Z');

/** Runs `work` in a transaction: all of it happens, or none. A connection in an unknown state is not used again. */
export async function withTransaction<T>(pool: Pool, work: (tx: PoolClient) => Promise<T>): Promise<T> {
  const tx = await pool.connect();
  let broken: Error | undefined;
  const onError = (error: Error) => {
    broken = error;
  };
  tx.on('error', onError);
  try {
    await tx.query('begin');
    const result = await work(tx);
    await tx.query('commit');
    return result;
  } catch (error) {
    await tx.query('rollback').catch((failure: Error) => {
      broken = failure;
    });
    throw error;
  } finally {
    tx.off('error', onError);
    tx.release(broken);
  }
}
