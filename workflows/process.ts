import { condition, defineSignal, proxyActivities, setHandler, workflowInfo } from '@temporalio/workflow';
import type { Command } from '../contracts/command';
import type { RecordedEvent } from '../contracts/event';
import type { ReactionAnswer } from '../model/reaction';
import { EVENT_SIGNAL, REACTIONS_QUEUE } from './names';
import type { ReactionRef, RetryInput } from './reaction';

/** What a process is started with. */
export interface ProcessInput<Settings = unknown> {
  readonly ref: ReactionRef;
  /** That started it, in its newest shape. */
  readonly event: RecordedEvent;
  /** Events it takes that lay in the log already: it is started again after Temporal lost it. */
  readonly earlier: readonly RecordedEvent[];
  /** As the reaction's `settings` read them where it was started. */
  readonly settings: Settings;
  readonly retry: RetryInput;
  /** Before every task queue: tells apart systems that share a namespace. */
  readonly queuePrefix: string;
}

/** A send or step, told apart from every other of its process. */
export interface ProcessCall {
  readonly ref: ReactionRef;
  /** 1, 2, 3 … among those of its kind. */
  readonly nth: number;
}

export interface ProcessActivities {
  /** A second run gets the first one's answer: the command's id is derived from the event. */
  readonly sendCommand: (
    call: ProcessCall,
    to: { entityType: string; entityId: string; command: Command },
  ) => Promise<ReactionAnswer>;
  /** Runs a step of the reaction; again under the same idempotency key. */
  readonly runStep: (call: ProcessCall, step: { name: string; input: unknown }) => Promise<unknown>;
}

export interface OpenProcess {
  /** The next event not taken yet, of these types or of all it takes; null when none comes within that time. */
  readonly taken: (
    types?: readonly string[],
    options?: { readonly withinMs?: number },
  ) => Promise<RecordedEvent | null>;
  /** Reaches the outside by one of the reaction's steps. */
  readonly step: <Answer = unknown>(name: string, input: unknown) => Promise<Answer>;
  readonly send: (entityType: string, entityId: string, command: Command) => Promise<ReactionAnswer>;
}

export const processEventSignal = defineSignal<[RecordedEvent]>(EVENT_SIGNAL);

/** To be called first in a process: what it may do, and the events it takes, each once whatever is repeated. */
export function openProcess({ ref, earlier, retry, queuePrefix }: ProcessInput): OpenProcess {
  const { sendCommand, runStep } = proxyActivities<ProcessActivities>({
    taskQueue: queuePrefix + REACTIONS_QUEUE,
    startToCloseTimeout: retry.timeoutMs,
    heartbeatTimeout: '10 seconds',
    retry: {
      // How often is counted by the activity, which ends the last try for good: Temporal would count outages too.
      initialInterval: retry.firstMs,
      backoffCoefficient: 2,
      maximumInterval: retry.maxMs,
    },
    summary: workflowInfo().workflowType,
  });
  const waiting: RecordedEvent[] = [];
  const seen = new Set<number>();
  const calls = new Map<string, number>();
  const take = (event: RecordedEvent) => {
    if (seen.has(event.version)) return;
    seen.add(event.version);
    waiting.push(event);
  };
  for (const event of earlier) take(event);
  setHandler(processEventSignal, take);

  return {
    taken: async (types, { withinMs } = {}) => {
      const at = () => waiting.findIndex(({ type }) => types?.includes(type) ?? true);
      const came =
        withinMs === undefined ? await forAsLongAsItTakes(() => at() >= 0) : await condition(() => at() >= 0, withinMs);
      return came ? (waiting.splice(at(), 1)[0] ?? null) : null;
    },
    step: async <Answer>(name: string, input: unknown) =>
      (await runStep({ ref, nth: nthOf(name) }, { name, input })) as Answer,
    send: (entityType, entityId, command) =>
      sendCommand({ ref, nth: nthOf(`${entityType}/${entityId}/${command.name}`) }, { entityType, entityId, command }),
  };

  function nthOf(kind: string): number {
    const nth = (calls.get(kind) ?? 0) + 1;
    calls.set(kind, nth);
    return nth;
  }
}

async function forAsLongAsItTakes(fact: () => boolean): Promise<true> {
  await condition(fact);
  return true;
}
