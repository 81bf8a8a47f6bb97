import {
  condition,
  continueAsNew,
  defineSignal,
  proxyActivities,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
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
  /** What the run before this one gave to `continueAsNew`. */
  readonly state?: unknown;
  /** What that run had counted and been told. */
  readonly carried?: Carried;
}

interface Carried {
  readonly calls: readonly (readonly [kind: string, nth: number])[];
  readonly seen: readonly number[];
  readonly waiting: readonly RecordedEvent[];
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
  /**
   * Goes on in a new run whose input has `state`, when its history has grown long (`workflowInfo().continueAsNewSuggested`). Events
   * not taken yet come along, and steps and sends are counted on. Temporal's own would forget both, and is refused.
   */
  readonly continueAsNew: (state?: unknown) => Promise<never>;
}

/** On the error that ends a run: what this process has counted goes with it. */
export const CARRIES = 'carriesItsProcess';

export const processEventSignal = defineSignal<[RecordedEvent]>(EVENT_SIGNAL);

/** To be called first in a process: what it may do, and the events it takes, each once whatever is repeated. */
export function openProcess(input: ProcessInput): OpenProcess {
  const { ref, earlier, retry, queuePrefix, carried } = input;
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
  const waiting: RecordedEvent[] = [...(carried?.waiting ?? [])];
  const seen = new Set<number>(carried?.seen);
  const calls = new Map<string, number>(carried?.calls);
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
    continueAsNew: async (state) => {
      const next = { ...input, earlier: [], state, carried: { calls: [...calls], seen: [...seen], waiting } };
      return continueAsNew<(next: ProcessInput) => Promise<unknown>>(next).catch((leaving: Error) => {
        throw Object.assign(leaving, { [CARRIES]: true });
      });
    },
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
