import { activityInfo, cancellationSignal, heartbeat } from '@temporalio/activity';
import { Worker } from '@temporalio/worker';
import type { Pool } from 'pg';
import { relayOutbox } from '../activities/relay';
import { NOT_WATCHED, watchTurn } from '../activities/watch';
import { openPool } from '../db/pool';
import { readSinks } from '../db/sinks';
import type { WakeListener } from '../db/wake';
import { openSink } from '../relay/open-sink';
import type { ConsumerActivities } from '../workflows/consumer';
import { RELAY_QUEUE, relayConsumer } from '../workflows/names';
import type { ConsumersWorkerOptions } from './consumers';

// Per sink one reads while one removes.
const CONNECTIONS = 6;
const RELAYS_MAX = 20;

/** The worker of all sinks' relays; none without a login for them. */
export async function makeRelays(
  { connection, namespace, relayUrl, env = process.env, idPrefix = '', parkedMax, watch }: ConsumersWorkerOptions,
  wakes: WakeListener,
  stopping: AbortSignal,
): Promise<{ readonly workers: readonly Worker[]; readonly close: () => Promise<void> }> {
  if (!relayUrl) return { workers: [], close: () => Promise.resolve() };
  const db = openPool({ url: relayUrl, max: CONNECTIONS, applicationName: 'reprise-relay' });
  const worker = await Worker.create({
    connection,
    namespace,
    taskQueue: idPrefix + RELAY_QUEUE,
    activities: makeRelayTail({ db, wakes, stopping, env, parkedMax, watch }),
    maxConcurrentActivityTaskExecutions: RELAYS_MAX,
    shutdownGraceTime: '10 seconds',
  });
  return { workers: [worker], close: () => db.end() };
}

interface RelaySources {
  readonly db: Pool;
  readonly wakes: WakeListener;
  readonly stopping: AbortSignal;
  readonly env: NodeJS.ProcessEnv;
  readonly parkedMax: number | undefined;
  readonly watch: ConsumersWorkerOptions['watch'];
}

/** A second run takes over by epoch, and repeats at most what was published and not yet removed. */
function makeRelayTail({ db, wakes, stopping, env, parkedMax, watch: watchOf }: RelaySources): ConsumerActivities {
  return {
    tail: ({ consumer }) => {
      const watch = watchOf?.(consumer) ?? NOT_WATCHED;
      return watchTurn(watch, activityInfo().attempt, async () => {
        const row = (await readSinks(db)).find(({ sink }) => relayConsumer(sink) === consumer);
        if (!row) return 'gone';
        const signal = AbortSignal.any([cancellationSignal(), stopping]);
        const open = () => openSink(row, env);
        await relayOutbox(row.sink, { db, wakes, heartbeat, signal, parkedMax, watch, open });
        return 'turn-over';
      });
    },
  };
}
