import type { Pool } from 'pg';

/** How the live side is now. */
export interface Signals {
  /** Slowest of the workers that commit, over the last second or so; null: nobody commits. */
  readonly commitP99Ms: number | null;
  /** Calls that wait for a connection to commit on. */
  readonly waiting: number;
  /** Age of the oldest event that a read model has not applied, of those that move: one that stands still waits for this replay, or for its worker. */
  readonly lagSeconds: number;
  /** Of the slowest replica; null: none. */
  readonly replicationSeconds: number | null;
}

/** Past one of these the live side is taken to suffer. */
export interface Limits {
  readonly commitP99Ms: number;
  readonly waiting: number;
  readonly lagSeconds: number;
  readonly replicationSeconds: number;
}

export const LIMITS: Limits = { commitP99Ms: 25, waiting: 8, lagSeconds: 2, replicationSeconds: 5 };

const VITALS_SECONDS = 5;

/** Read by who fills, twice a second. */
export async function readSignals(db: Pool): Promise<Signals> {
  const { rows } = await db.query<Signals>({
    name: 'replay_signals',
    text: `select v.p99 as "commitP99Ms", coalesce(v.waiting, 0) as waiting, coalesce(l.seconds, 0)::float8 as "lagSeconds",
                  reprise.replication_lag_seconds() as "replicationSeconds"
           from (select max(commit_p99_ms)::float8 as p99, sum(waiting)::integer as waiting from reprise.vitals
                 where at > clock_timestamp() - make_interval(secs => $1::integer)) v
           cross join (select max(l.lag_seconds) as seconds from reprise.lag l join reprise.generations g using (consumer, generation)
                       where g.status = 'active' and exists (
                         select from reprise.checkpoints c
                         where c.consumer = l.consumer and c.generation = l.generation and c.next_offset > 1
                           and c.updated_at > clock_timestamp() - make_interval(secs => $1::integer))) l`,
    values: [VITALS_SECONDS],
  });
  return rows[0] ?? { commitP99Ms: null, waiting: 0, lagSeconds: 0, replicationSeconds: null };
}

/** What is past its limit, in words; null: nothing. */
export function suffers(signals: Signals, limits: Limits = LIMITS): string | null {
  const { commitP99Ms, waiting, lagSeconds, replicationSeconds } = signals;
  if (commitP99Ms !== null && commitP99Ms > limits.commitP99Ms)
    return `commits take ${commitP99Ms.toFixed(0)} ms (p99; limit ${limits.commitP99Ms})`;
  if (waiting > limits.waiting) return `${waiting} commits wait for a connection (limit ${limits.waiting})`;
  if (lagSeconds > limits.lagSeconds)
    return `a read model is ${lagSeconds.toFixed(1)} s behind (limit ${limits.lagSeconds})`;
  if (replicationSeconds !== null && replicationSeconds > limits.replicationSeconds)
    return `a replica is ${replicationSeconds.toFixed(1)} s behind (limit ${limits.replicationSeconds})`;
  return null;
}

// Of its time, what a replay works at most while others commit: on two cores, 0.4 is a fifth of two. Multiplicative decrease
// when the live side suffers, and a slow way up again (after Chiu and Jain, 1989).
const SHARE_BESIDE_LIVE = 0.4;
const SHARE_MIN = 0.05;
const DECREASE = 0.5;
const INCREASE = 1.1;

/** The share of its time that it works in the next half second, from 0.05 to 1. */
export function adapt(
  share: number,
  { isLive, isSuffering }: { readonly isLive: boolean; readonly isSuffering: boolean },
) {
  const most = isLive ? SHARE_BESIDE_LIVE : 1;
  return Math.min(most, Math.max(SHARE_MIN, share * (isSuffering ? DECREASE : INCREASE)));
}
