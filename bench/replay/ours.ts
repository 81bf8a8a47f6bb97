import type { Pool } from 'pg';
import { createClient } from '../../client/client';
import { roleUrl } from '../../db/urls';
import { model } from '../../shop/model';
import { median } from '../measure';
import { peakRssMbWhile, startProcess } from '../processes';
import type { BenchServers } from '../servers';
import { runLiveLoad } from './live-load';
import { eventsInLog, watchProgress } from './progress';
import type { Pace, ReplayUnderTest } from './under-test';
import { keptRate, type Sighting } from './windows';

const REBUILD_MS_MAX = 20 * 60_000;
const THROTTLED_PER_SECOND = 5_000;
const THROTTLED_MS = 20_000;
const LIVE_PER_SECOND = 20;
const LIVE_SECONDS = 60;
const LIVE_SECONDS_SHORT = 15;
const LIVE_ROUNDS = 3;

/** From the call that asks for it until the last event is applied. The generation stays, to be looked at. */
export async function rebuild(
  db: Pool,
  replay: ReplayUnderTest,
): Promise<{ readonly perSecond: number; readonly rssMb: number }> {
  const total = await eventsInLog(db);
  const startedAt = performance.now();
  const rssMb = await peakRssMbWhile(replay.worker, async () => {
    await replay.start('free');
    const seen = await watchProgress(db, { total, msMax: REBUILD_MS_MAX });
    if ((seen.at(-1)?.total ?? 0) < total) throw new Error('the rebuild did not come to its end');
  });
  return { perSecond: (total / (performance.now() - startedAt)) * 1_000, rssMb };
}

/** At a fixed rate, from its first event on. */
export async function throttled(db: Pool, replay: ReplayUnderTest): Promise<Record<string, number>> {
  const sightings = await rebuildFor(db, replay, THROTTLED_PER_SECOND, THROTTLED_MS);
  const { maxOver, mean } = keptRate(sightings, THROTTLED_PER_SECOND);
  return { throttle_max_over: maxOver, throttle_mean_vs_rate: mean };
}

/** Live commands beside an adaptive replay and without one, in turns; and what replay came to meanwhile, against `free` events/s. */
export async function underLiveLoad(
  { db, servers, replay, free, short }: { db: Pool; servers: BenchServers; replay: ReplayUnderTest; free: number; short: boolean }, // prettier-ignore
  log: (line: string) => void,
): Promise<Record<string, number>> {
  const seconds = short ? LIVE_SECONDS_SHORT : LIVE_SECONDS;
  const env = { BENCH_TEMPORAL: servers.temporalAddress, BENCH_DATABASE_URL: servers.databaseUrl };
  const workers = [await startProcess('ours.ts', ['entity'], env), await startProcess('ours.ts', ['consumers'], env)];
  const shop = await createClient({
    model,
    databaseUrl: roleUrl('read', {}, { url: servers.databaseUrl, owned: true }).url,
    temporal: { connection: { address: servers.temporalAddress }, namespace: 'default' },
  });
  try {
    await runLiveLoad(shop, { perSecond: LIVE_PER_SECOND, seconds: 10, tag: 'warm' });
    const rounds: { alone: number; beside: number; adaptive: number }[] = [];
    for (let round = 1; round <= LIVE_ROUNDS; round++) {
      const alone = await runLiveLoad(shop, { perSecond: LIVE_PER_SECOND, seconds, tag: `alone-${round}` });
      const [beside, adaptive] = await Promise.all([
        runLiveLoad(shop, { perSecond: LIVE_PER_SECOND, seconds, tag: `beside-${round}` }),
        rebuildAgainAndAgain(db, replay, seconds * 1_000),
      ]);
      rounds.push({ alone: alone.p99Ms, beside: beside.p99Ms, adaptive });
      log(`live load, round ${round}: p99 ${alone.p99Ms.toFixed(0)} ms alone, ${beside.p99Ms.toFixed(0)} ms beside replay at ${adaptive.toFixed(0)}/s`); // prettier-ignore
    }
    return {
      live_p99_ms: median(rounds.map(({ alone }) => alone)),
      live_p99_ratio: median(rounds.map(({ alone, beside }) => beside / alone)),
      adaptive_vs_free: median(rounds.map(({ adaptive }) => adaptive / free)),
    };
  } finally {
    await shop.close();
    for (const worker of workers) worker.kill('SIGKILL');
  }
}

/** Events/s while it ran, begun anew whenever it is at head before the time is over. */
async function rebuildAgainAndAgain(db: Pool, replay: ReplayUnderTest, ms: number): Promise<number> {
  const endsAt = performance.now() + ms;
  let events = 0;
  let ranMs = 0;
  while (performance.now() < endsAt) {
    const startedAt = performance.now();
    const seen = await rebuildFor(db, replay, 'adaptive', endsAt - startedAt);
    events += seen.at(-1)?.total ?? 0;
    ranMs += performance.now() - startedAt;
  }
  return (events / ranMs) * 1_000;
}

async function rebuildFor(db: Pool, replay: ReplayUnderTest, pace: Pace, msMax: number): Promise<Sighting[]> {
  const total = await eventsInLog(db);
  await replay.start(pace);
  const seen = await watchProgress(db, { total, msMax });
  await replay.drop();
  return seen;
}
