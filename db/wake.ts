import { Client, type Pool } from 'pg';

export const WAKE_CHANNEL = 'reprise_wake';
/** News of generations, not of an entity type: none is named so. */
export const GENERATIONS_NEWS = 'reprise.generations';
const COALESCE_MS = 20;
const RECONNECT_MS = 1_000;
const CONNECT_MS_MAX = 10_000;
const KEEPALIVE_AFTER_MS = 5_000;

/**
 * Tells consumers whose entities have news, at most once per 20 ms, after the commit and never in it: NOTIFY inside
 * the commit serializes all commits (5,150/s fell to 2,470). A lost wake-up costs one slow poll, so errors are dropped.
 */
export function makeWaker(db: Pool): (entityTypes: readonly string[]) => void {
  const pending = new Set<string>();
  let timer: NodeJS.Timeout | null = null;

  return function wake(entityTypes) {
    for (const entityType of entityTypes) pending.add(entityType);
    if (timer) return;
    timer = setTimeout(() => {
      timer = null;
      const news = [...pending].join(',');
      pending.clear();
      // Its commit record need not reach the disk: a flush beside every second commit was felt by the next one.
      db.query({
        name: 'wake',
        text: `select set_config('synchronous_commit', 'off', true), pg_notify($1::text, $2::text)`,
        values: [WAKE_CHANNEL, news],
      }).catch(() => undefined);
    }, COALESCE_MS);
    timer.unref();
  };
}

export interface WakeListener {
  /**
   * How many wake-ups were heard (of entities of one of these types): taken before a look, so that `next` misses none that
   * comes during it.
   */
  readonly heard: (of?: readonly string[]) => number;
  /** Resolves once more were heard, or after `timeoutMs`. */
  readonly next: (heard: number, timeoutMs: number, signal: AbortSignal, of?: readonly string[]) => Promise<void>;
  readonly close: () => Promise<void>;
}

/** Listens on a connection of its own: direct, since a transaction pooler loses LISTEN. Reconnects by itself. */
export function listenForWakes(url: string): WakeListener {
  const listeners = new Set<() => void>();
  // Rings by entity type; under '' those that were for everybody.
  const rings = new Map<string, number>();
  let all = 0;
  let closed = false;
  let client: Client | null = null;
  let retry: NodeJS.Timeout | null = null;

  const ring = (news = '') => {
    all += 1;
    for (const entityType of news.split(',')) rings.set(entityType, (rings.get(entityType) ?? 0) + 1);
    for (const listener of listeners) listener();
  };
  const heard = (of?: readonly string[]): number =>
    of ? ['', ...of].reduce((sum, entityType) => sum + (rings.get(entityType) ?? 0), 0) : all;

  const connect = async () => {
    const fresh = new Client({
      connectionString: url,
      keepAlive: true,
      keepAliveInitialDelayMillis: KEEPALIVE_AFTER_MS,
      connectionTimeoutMillis: CONNECT_MS_MAX,
      application_name: 'reprise-wake',
    });
    client = fresh;
    fresh.on('notification', ({ payload }) => ring(payload));
    fresh.on('error', () => undefined);
    fresh.on('end', reconnectLater);
    await fresh.connect();
    await fresh.query(`listen ${WAKE_CHANNEL}`);
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
    heard,
    next: (before, timeoutMs, signal, of) =>
      new Promise((resolve) => {
        const finish = () => {
          clearTimeout(timer);
          listeners.delete(look);
          signal.removeEventListener('abort', finish);
          resolve();
        };
        const look = () => {
          if (heard(of) > before) finish();
        };
        const timer = setTimeout(finish, timeoutMs);
        if (heard(of) > before || signal.aborted || timeoutMs <= 0) return finish();
        listeners.add(look);
        signal.addEventListener('abort', finish);
      }),
    close: async () => {
      closed = true;
      if (retry) clearTimeout(retry);
      await client?.end().catch(() => undefined);
    },
  };
}
