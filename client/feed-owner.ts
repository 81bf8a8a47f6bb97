import { setTimeout } from 'node:timers/promises';
import { Client } from 'pg';

const HELD_ELSEWHERE_MS = 2_000;

// An owner that is stopped, or whose handler never yields, pings no more: PostgreSQL ends its session, and a standby has
// the name. Three pings may be late.
const IDLE_MS_MAX = 15_000;
const PING_MS = 5_000;
const ANSWER_MS_MAX = 10_000;
const END_MS_MAX = 2_000;

export interface OwnerPorts {
  readonly url: string;
  /** `feed/<name>`. */
  readonly consumer: string;
  readonly signal: AbortSignal;
}

/**
 * Runs `work` while this process alone has the name: a lock of a session of its own, so that the name is free when the
 * process is gone, or silent. Should the session end unnoticed, the next owner's epoch fences this one.
 */
export async function whileOwner(
  { url, consumer, signal }: OwnerPorts,
  work: (owned: AbortSignal) => Promise<void>,
): Promise<void> {
  const session = new Client({
    connectionString: url,
    application_name: 'reprise-feed-owner',
    keepAlive: true,
    connectionTimeoutMillis: ANSWER_MS_MAX,
    query_timeout: ANSWER_MS_MAX,
  });
  const lost = new AbortController();
  const lose = (): void => lost.abort();
  session.on('error', lose);
  session.on('end', lose);
  await session.connect();
  const pinging = setInterval(() => void session.query('select 1').catch(lose), PING_MS);
  try {
    await session.query(`select set_config('idle_session_timeout', $1::text, false)`, [`${IDLE_MS_MAX}`]);
    const owned = AbortSignal.any([signal, lost.signal]);
    while (!owned.aborted) {
      const { rows } = await session.query<{ got: boolean }>(
        `select pg_try_advisory_lock(hashtextextended('reprise ' || $1::text, 0)) as got`,
        [consumer],
      );
      if (rows[0]?.got) return await work(owned);
      await setTimeout(HELD_ELSEWHERE_MS, undefined, { signal: owned }).catch(() => undefined);
    }
  } finally {
    clearInterval(pinging);
    await Promise.race([session.end().catch(() => undefined), setTimeout(END_MS_MAX, undefined, { ref: false })]);
  }
}
