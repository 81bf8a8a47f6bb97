import type { Client } from '@temporalio/client';
import { pause } from '../activities/pause';
import type { ConsumerInput } from '../workflows/consumer';
import { GENERATIONS_NEWS, type WakeListener } from '../db/wake';
import { CONSUMER_WORKFLOW } from '../workflows/names';

export interface ConsumersToStart {
  readonly client: Client;
  /** Before every workflow id and task queue. */
  readonly idPrefix: string;
  /** Where their workflows run. */
  readonly queue: string;
  /** What should run now. */
  readonly wanted: () => Promise<readonly WantedConsumer[]>;
  /** Where news of generations is heard: then it looks at once. */
  readonly wakes?: WakeListener;
}

const NEWS = [GENERATIONS_NEWS];

export interface WantedConsumer {
  /** Names and queues without the prefix. */
  readonly workflowId: string;
  readonly input: ConsumerInput;
  readonly summary: string;
}

interface Pace {
  /** A sink added, or a read model reset to a new generation, is served after this long without a restart. */
  readonly lookMs: number;
  /** A workflow that was terminated, or that Temporal lost, is missed for this long, and a look more. */
  readonly startAgainMs: number;
}

// A start that finds its workflow running costs Temporal a few milliseconds; a look costs two small queries.
const PACE: Pace = { lookMs: 5_000, startAgainMs: 30_000 };

/** Starts what should run and does not, now and for as long as its worker lives. `ended` is when it looks no more. */
export async function keepConsumersStarted(
  ports: ConsumersToStart,
  signal: AbortSignal,
  pace: Pace = PACE,
): Promise<{ readonly ended: Promise<void> }> {
  const startedAt = new Map<string, number>();
  const heard = ports.wakes?.heard(NEWS) ?? 0;
  await startMissing(ports, startedAt, pace);
  return { ended: keepLooking(ports, { startedAt, heard }, signal, pace) };
}

async function keepLooking(
  ports: ConsumersToStart,
  { startedAt, heard: heardBefore }: { readonly startedAt: Map<string, number>; readonly heard: number },
  signal: AbortSignal,
  pace: Pace,
): Promise<void> {
  for (let heard = heardBefore; !signal.aborted;) {
    if (ports.wakes) await ports.wakes.next(heard, pace.lookMs, signal, NEWS);
    else await pause(pace.lookMs, signal);
    heard = ports.wakes?.heard(NEWS) ?? 0;
    // A database or server that is away now is asked again at the next look.
    if (!signal.aborted) await startMissing(ports, startedAt, pace).catch(() => undefined);
  }
}

async function startMissing(
  { client, idPrefix, queue, wanted }: ConsumersToStart,
  startedAt: Map<string, number>,
  { startAgainMs }: Pace,
): Promise<void> {
  const all = await wanted();
  const ids = new Set(all.map(({ workflowId }) => workflowId));
  // One that was removed may come back under its old name.
  for (const id of startedAt.keys()) if (!ids.has(id)) startedAt.delete(id);
  for (const { workflowId, input, summary } of all) {
    if (performance.now() - (startedAt.get(workflowId) ?? -Infinity) < startAgainMs) continue;
    await client.workflow.start(CONSUMER_WORKFLOW, {
      workflowId: idPrefix + workflowId,
      taskQueue: idPrefix + queue,
      args: [{ ...input, taskQueue: idPrefix + input.taskQueue }],
      workflowIdConflictPolicy: 'USE_EXISTING',
      workflowIdReusePolicy: 'ALLOW_DUPLICATE',
      staticSummary: summary,
    });
    startedAt.set(workflowId, performance.now());
  }
}
