import { setTimeout } from 'node:timers/promises';
import type { Client } from '@temporalio/client';
import type { ConsumerInput } from '../workflows/consumer';
import { CONSUMER_WORKFLOW } from '../workflows/names';

export interface ConsumersToStart {
  readonly client: Client;
  /** Before every workflow id and task queue. */
  readonly idPrefix: string;
  /** Where their workflows run. */
  readonly queue: string;
  /** What should run now. */
  readonly wanted: () => Promise<readonly WantedConsumer[]>;
}

export interface WantedConsumer {
  /** Names and queues without the prefix. */
  readonly workflowId: string;
  readonly input: ConsumerInput;
  readonly summary: string;
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

async function startMissing(
  { client, idPrefix, queue, wanted }: ConsumersToStart,
  started: Set<string>,
): Promise<void> {
  const all = await wanted();
  const ids = new Set(all.map(({ workflowId }) => workflowId));
  // One that was removed may come back under its old name.
  for (const id of started) if (!ids.has(id)) started.delete(id);
  for (const { workflowId, input, summary } of all) {
    if (started.has(workflowId)) continue;
    await client.workflow.start(CONSUMER_WORKFLOW, {
      workflowId: idPrefix + workflowId,
      taskQueue: idPrefix + queue,
      args: [{ ...input, taskQueue: idPrefix + input.taskQueue }],
      workflowIdConflictPolicy: 'USE_EXISTING',
      workflowIdReusePolicy: 'ALLOW_DUPLICATE',
      staticSummary: summary,
    });
    started.add(workflowId);
  }
}
