import { setTimeout } from 'node:timers/promises';
import { Connection, makeGrpcRetryInterceptor, type ConnectionOptions } from '@temporalio/client';
import { entityPace } from './grpc-retry';

// For the retry itself to begin.
const RETRY_MS = 50;

/**
 * Connects to Temporal at our own retry pace. `close` first waits out the retries that are due (at most 5 s): the SDK lets
 * a retry's timer use a channel that was closed meanwhile, which throws where nobody can catch it and ends the process.
 */
export async function connectTemporal(options: ConnectionOptions): Promise<Connection> {
  let closing = false;
  let retriesUntil = 0;
  const retries = makeGrpcRetryInterceptor({
    retryableDecider: (attempt, status) => !closing && entityPace.retryableDecider(attempt, status),
    delayFunction: (attempt, status) => {
      const ms = entityPace.delayFunction(attempt, status);
      retriesUntil = Math.max(retriesUntil, Date.now() + ms);
      return ms;
    },
  });
  const connection = await Connection.connect({
    ...options,
    interceptors: [...(options.interceptors ?? []), retries],
  });
  const close = connection.close.bind(connection);
  connection.close = async () => {
    closing = true;
    if (retriesUntil > 0) await setTimeout(Math.max(0, retriesUntil - Date.now()) + RETRY_MS);
    await close();
  };
  return connection;
}
