import { setTimeout } from 'node:timers/promises';
import type { Client } from '@temporalio/client';
import type { Pool } from 'pg';
import { readSinks } from '../db/sinks';
import type { Model } from '../model/model';
import type { ConsumerInput } from '../workflows/consumer';
import {
  CONSUMER_WORKFLOW,
  CONSUMERS_QUEUE,
  projectionConsumer,
  projectionQueue,
  RELAY_QUEUE,
  relayConsumer,
} from '../workflows/names';

export interface ConsumersToStart {
  readonly client: Client;
  readonly db: Pool;
  readonly model: Model;
  readonly idPrefix: string;
}

// A sink added, or a read model reset to a new generation, is served after this long without a restart.
const LOOK_EVERY_MS = 5_000;

/** Starts what should run and does not, now and whenever something was added. `ended` is when it looks no more. */
export async function keepConsumersStarted(
  ports: ConsumersToStart,
  signal: AbortSignal,
): Promise<{ readonly ended: Promise<void> }> {
  const started = new Set<string>();
  await startMissing(ports, started);
  return { ended: keepLooking(ports, started, signal) };
}

async function keepLooking(ports: ConsumersToStart, started: Set<string>, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await setTimeout(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined);
    // A database or server that is away now is asked again at the next look.
    if (!signal.aborted) await startMissing(ports, started).catch(() => undefined);
  }
}

async function startMissing(ports: ConsumersToStart, started: Set<string>): Promise<void> {
  const wanted = [...(await projections(ports)), ...(await relays(ports))];
  const ids = new Set(wanted.map(({ workflowId }) => workflowId));
  // One that was removed may come back under its old name.
  for (const id of started) if (!ids.has(id)) started.delete(id);
  for (const { workflowId, input, summary } of wanted) {
    if (started.has(workflowId)) continue;
    await ports.client.workflow.start(CONSUMER_WORKFLOW, {
      workflowId,
      taskQueue: ports.idPrefix + CONSUMERS_QUEUE,
      args: [input],
      workflowIdConflictPolicy: 'USE_EXISTING',
      workflowIdReusePolicy: 'ALLOW_DUPLICATE',
      staticSummary: summary,
    });
    started.add(workflowId);
  }
}

interface Wanted {
  readonly workflowId: string;
  readonly input: ConsumerInput;
  readonly summary: string;
}

/** Every generation that is fed. */
async function projections({ db, model, idPrefix }: ConsumersToStart): Promise<Wanted[]> {
  const { rows } = await db.query<{ consumer: string; generation: number; declared_version: number }>(
    `select consumer, generation, declared_version from reprise.generations where status in ('active', 'standby')`,
  );
  return rows.flatMap(({ consumer, generation, declared_version }) => {
    const projection = model.projections.find(({ name }) => projectionConsumer(name) === consumer);
    if (!projection) return [];
    const taskQueue = idPrefix + projectionQueue(projection.name, declared_version);
    return {
      workflowId: `${idPrefix}${consumer}/g${generation}`,
      input: { consumer, generation, taskQueue },
      summary: `feeds read.${projection.name}, generation ${generation}`,
    };
  });
}

async function relays({ db, idPrefix }: ConsumersToStart): Promise<Wanted[]> {
  return (await readSinks(db)).map(({ sink, kind }) => ({
    workflowId: idPrefix + relayConsumer(sink),
    input: { consumer: relayConsumer(sink), generation: 0, taskQueue: idPrefix + RELAY_QUEUE },
    summary: `publishes to ${sink} (${kind})`,
  }));
}
