import type { Pool } from 'pg';
import { feedConsumer } from '../workflows/names';

/** A subscription straight from the log, and how far it is. */
export type FeedStatus = Readonly<{
  feed: string;
  /** `running`, or the worst of its checkpoints' states. */
  status: string;
  lag_events: number;
  /** Age of the oldest event not taken; null when there is none. */
  lag_seconds: number | null;
  parked: number;
}>;

/** Counted in the tables: true also while no subscriber runs. */
export async function readFeeds(db: Pool): Promise<FeedStatus[]> {
  const { rows } = await db.query<FeedStatus>(
    `select substr(consumer, length('feed/') + 1) as feed,
            coalesce(min(status) filter (where status <> 'running'), 'running') as status,
            sum(lag_events)::bigint as lag_events, max(lag_seconds)::float8 as lag_seconds,
            (select count(*) from reprise.parked k where k.consumer = l.consumer) as parked
     from reprise.lag l where consumer like 'feed/%' group by consumer order by consumer`,
  );
  return rows;
}

/** Forgets its place and what it holds back, in one statement. False: there is none. By the owner's login. */
export async function removeFeed(db: Pool, feed: string): Promise<boolean> {
  const { rowCount } = await db.query(
    `with unparked as (delete from reprise.parked where consumer = $1::text)
     delete from reprise.checkpoints where consumer = $1::text`,
    [feedConsumer(feed)],
  );
  return (rowCount ?? 0) > 0;
}
