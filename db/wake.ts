import { Client, type Pool } from 'pg';

const CHANNEL = 'reprise_wake';
const COALESCE_MS = 20;
const RECONNECT_MS = 1_000;
const CONNECT_MS_MAX = 10_000;
const KEEPALIVE_AFTER_MS = 5_000;

/**
 * Tells consumers that partitions have news, at most once per 20 ms, after the commit and never in it: NOTIFY inside
 * the commit serializes all commits (5,150/s fell to 2,470). A lost wake-up costs one slow poll, so errors are dropped.
 */
export function makeWaker(db: Pool): (partitions: readonly number[]) => void {
  const pending = new Set<number>();
  let timer: NodeJS.Timeout | null = null;

  return function wake(partitions) {
    for (const partition of partitions) pending.add(partition);
    if (timer) return;
    timer = setTimeout(() => {
      timer = null;
      const news = [...pending].join(',');
      pending.clear();
      // Its commit record need not reach the disk: a flush beside every second commit was felt by the next one.
      db.query({
        name: 'wake',
        text: `select set_config('synchronous_commit', 'off', true), pg_notify($1::text, $2::text)`,
        values: [CHANNEL, news],
      }).catch(() => undefined);
    }, COALESCE_MS);
    timer.unref();
  };
}

export interface WakeListener {
  /** How many wake-ups were heard: taken before a look, so that `next` misses none that comes during it. */
  readonly heard: () => number;
  /** Resolves once more were heard, or after `timeoutMs`. */
  readonly next: (heard: number, timeoutMs: number, signal: AbortSignal) => Promise<void>;
  readonly close: () => Promise<void>;
}

/** Listens on a connection of its own: direct, since a transaction pooler loses LISTEN. Reconnects by itself. */
export function listenForWakes(url: string): WakeListener {
  const listeners = new Set<() => void>();
  let heard = 0;
  let closed = false;
  let client: Client | null = null;
  let retry: NodeJS.Timeout | null = null;

  const ring = () => {
    heard += 1;
    for (const listener of listeners) listener();
  };

  const connect = async () => {
    const fresh = new Client({
      connectionString: url,
      keepAlive: true,
      keepAliveInitialDelayMillis: KEEPALIVE_AFTER_MS,
      connectionTimeoutMillis: CONNECT_MS_MAX,
      application_name: 'reprise-wake',
    });
    client = fresh;
    fresh.on('notification', ring);
    fresh.on('error', () => undefined);
    fresh.on('end', reconnectLater);
    await fresh.connect();
    await fresh.query(`listen ${CHANNEL}`);
    ring(); // what was missed while nobody listened
  };

  function reconnectLater() {
    if (closed || retry) return;
    retry = setTimeout(() => {
      retry = null;
      connect().catch(reconnectLater);
    }, RECONNECT_MS);
  }

  connect().catch(reconnectLater);

  return {
    heard: () => heard,
    next: (before, timeoutMs, signal) =>
      new Promise((resolve) => {
        const finish = () => {
          clearTimeout(timer);
          listeners.delete(finish);
          signal.removeEventListener('abort', finish);
          resolve();
        };
        const timer = setTimeout(finish, timeoutMs);
        if (heard > before || signal.aborted) return finish();
        listeners.add(finish);
        signal.addEventListener('abort', finish);
      }),
    close: async () => {
      closed = true;
      if (retry) clearTimeout(retry);
      await client?.end().catch(() => undefined);
    },
  };
}
