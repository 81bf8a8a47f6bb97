import type { Command } from '../contracts/command';
import type { EventContract, EventData, RecordedEvent } from '../contracts/event';

/**
 * Why doing it twice does no harm. `key`: the outside executes an idempotency key once. `natural`: repeating changes
 * nothing (a cache purged, a file written). `at-most-once`: neither, so it is tried once, and what is uncertain is parked.
 */
export type Idempotency = 'key' | 'natural' | 'at-most-once';

/** What waits because of them is seen as the reaction's lag. */
export interface ReactionLimits {
  /**
   * Of a handler: those running at the same time, per worker process; default 20. Of a process, which may wait for days: those
   * open at the same time, in all; default: as many as come. A retry by hand counts, a rerun does not wait.
   */
  readonly concurrent?: number;
  /** Started in any second, by all worker processes together. Default: as many as come. */
  readonly perSecond?: number;
}

/**
 * Of its own code: what it throws, what lasts too long, what ends its process. A database, a Temporal server or an entity worker
 * that is away uses up none of its tries.
 */
export interface ReactionRetry {
  /** Tries in all, before the entity is parked. Default 8; always 1 when `at-most-once`. */
  readonly attempts?: number;
  /** The wait before the second try, then twice as long each time. Default 500 ms. */
  readonly firstMs?: number;
  /** Default 60,000. */
  readonly maxMs?: number;
  /** One try may take this long. Default 60,000. */
  readonly timeoutMs?: number;
}

/** The same at each try and each rerun: what the outside, and `commands`, recognise a repeat by. */
export interface ReactionContext {
  /** `reaction/<name>/<entity type>/<entity id>/<version>`. */
  readonly idempotencyKey: string;
  /** 1, 2, 3 … */
  readonly attempt: number;
  /** Aborted when the try has lasted too long or the worker stops. */
  readonly signal: AbortSignal;
  /** Sends a command; its id is derived from the event, so a second try gets the first one's answer. */
  readonly send: SendFromReaction;
}

/** The commands a reaction sends to one entity must differ in name, or be told apart by `nth`. */
export type SendFromReaction = (
  entityType: string,
  entityId: string,
  command: Command,
  options?: { readonly nth?: number },
) => Promise<ReactionAnswer>;

/** `code` is that of the refusal. What failed is thrown, and `NoAnswer`: the reaction is tried again. */
export type ReactionAnswer =
  | { readonly outcome: 'accepted'; readonly version: number }
  | { readonly outcome: 'refused'; readonly version: number; readonly code: string };

interface ReactionDefinition<Contracts extends readonly EventContract[]> {
  /** The events that start it. */
  readonly on: Contracts;
  readonly idempotency: Idempotency;
  /** `any` (default): events side by side. `per-entity`: one after the other, in the entity's order. */
  readonly order?: 'any' | 'per-entity';
  /** Starts it for these only. Pure. */
  readonly when?: (event: EventOf<Contracts>) => boolean;
  /** Where a new reaction begins: at head (default), or at the first event of the log. */
  readonly from?: 'head' | 'beginning';
  /** Also for events that were brought in from elsewhere. Default no. */
  readonly backfilled?: boolean;
  readonly retry?: ReactionRetry;
  readonly limits?: ReactionLimits;
}

export type EventOf<Contracts extends readonly EventContract[]> = {
  [C in Contracts[number] as C['type']]: RecordedEvent<C['type'], EventData<C>>;
}[Contracts[number]['type']];

export interface HandlerDefinition<
  Contracts extends readonly EventContract[],
  Ports,
> extends ReactionDefinition<Contracts> {
  /** One try. What it throws is tried again, then the entity is parked; `RetryLater` says when, `GiveUp` ends it. */
  readonly handle: (event: EventOf<Contracts>, context: ReactionContext & Ports) => Promise<void>;
}

/** A step of a process: reaches the outside through ports, and may be tried again under the same key. */
export type Step<Ports> = (input: never, context: ReactionContext & Ports) => Promise<unknown>;

export interface ProcessDefinition<Contracts extends readonly EventContract[], Ports> extends Omit<
  ReactionDefinition<Contracts>,
  'order'
> {
  /** The name its workflow function is exported by, in the project's file of processes. */
  readonly process: string;
  /** Further events of the same entity that it is told of while it is open. */
  readonly takes?: readonly EventContract[];
  readonly steps?: Readonly<Record<string, Step<Ports>>>;
  /** What it must know of its surroundings: read where it is started, and kept in its input. */
  readonly settings?: (ports: Ports) => unknown;
}

/** A side effect or a durable process started by an event, as the engine sees it. */
export interface Reaction<Ports = never> {
  readonly kind: 'reaction';
  readonly name: string;
  readonly on: readonly string[];
  readonly idempotency: Idempotency;
  readonly order: 'any' | 'per-entity';
  readonly when: (event: RecordedEvent) => boolean;
  readonly from: 'head' | 'beginning';
  readonly backfilled: boolean;
  readonly retry: Required<ReactionRetry>;
  readonly limits: ReactionLimits;
  readonly handle: ((event: RecordedEvent, context: ReactionContext & Ports) => Promise<void>) | null;
  readonly process: ProcessOf<Ports> | null;
}

export interface ProcessOf<Ports> {
  readonly workflow: string;
  readonly takes: readonly string[];
  readonly steps: Readonly<Record<string, Step<Ports>>>;
  readonly settings: (ports: Ports) => unknown;
}

// A reaction of whatever ports: the project's file of ports is loaded beside them, and checked by nobody else.
export type AnyReaction = Reaction;

const REACTION_NAME = /^[a-z][a-z0-9-]{0,62}$/;
const IDEMPOTENCY: readonly unknown[] = ['key', 'natural', 'at-most-once'];
const RETRY = { attempts: 8, firstMs: 500, maxMs: 60_000, timeoutMs: 60_000 } as const;

/** Declares a reaction: a handler (one try per event), or a process (a Temporal workflow of the project's own). */
export function reaction<const Contracts extends readonly EventContract[], Ports>(
  name: string,
  definition: HandlerDefinition<Contracts, Ports> | ProcessDefinition<Contracts, Ports>,
): Reaction<Ports> {
  const { on, idempotency, when, from = 'head', backfilled = false } = definition;
  if (!REACTION_NAME.test(name)) throw new Error(`reaction '${name}': a name is lower case letters, digits and dashes`);
  // Also for those who write JavaScript: without a strategy a second try is a second charge.
  if (!IDEMPOTENCY.includes(idempotency)) {
    throw new Error(`reaction '${name}': say why twice does no harm: idempotency 'key', 'natural' or 'at-most-once'`);
  }
  if (on.length === 0) throw new Error(`reaction '${name}': 'on' lists the events that start it`);
  checkLimits(name, definition.limits ?? {});
  const isHandler = 'handle' in definition;
  const retry = { ...RETRY, ...definition.retry };
  return {
    kind: 'reaction',
    name,
    on: on.map(({ type }) => type),
    idempotency,
    order: isHandler ? (definition.order ?? 'any') : 'any',
    when: (event) => when?.(event as EventOf<Contracts>) ?? true,
    from,
    backfilled,
    retry: idempotency === 'at-most-once' ? { ...retry, attempts: 1 } : retry,
    limits: definition.limits ?? {},
    handle: isHandler ? (definition.handle as Reaction<Ports>['handle']) : null,
    process: isHandler ? null : toProcess(definition),
  };
}

function checkLimits(name: string, { concurrent, perSecond }: ReactionLimits): void {
  if (concurrent !== undefined && !(Number.isInteger(concurrent) && concurrent > 0))
    throw new Error(`reaction '${name}': concurrent is ${concurrent}, not 1, 2, 3 …`);
  if (perSecond !== undefined && !(Number.isFinite(perSecond) && perSecond > 0))
    throw new Error(`reaction '${name}': perSecond is ${perSecond}, not a number above 0`);
}

type ProcessParts<Ports> = Pick<
  ProcessDefinition<readonly EventContract[], Ports>,
  'process' | 'takes' | 'steps' | 'settings'
>;

function toProcess<Ports>({ process, takes = [], steps = {}, settings }: ProcessParts<Ports>): ProcessOf<Ports> {
  return { workflow: process, takes: takes.map(({ type }) => type), steps, settings: settings ?? (() => null) };
}

/** The outside said when it will listen again (429 or 503 with Retry-After). Tried again then, not sooner. */
export class RetryLater extends Error {
  override readonly name = 'RetryLater';

  constructor(
    message: string,
    readonly afterMs: number,
  ) {
    super(message);
  }
}

/** A command that was sent has no answer yet: nobody runs who gives it. Thrown on, it is not counted as a try. */
export class NoAnswer extends Error {
  override readonly name = 'NoAnswer';
}

/** No further try helps: the entity is parked at once. */
export class GiveUp extends Error {
  override readonly name = 'GiveUp';
}

/** The list of a project's reactions, checked as a whole. A list of its own: nothing a replay loads may lead to it. */
export function reactions<const List extends readonly unknown[]>(list: List): List {
  const names = list.map((one) => (one as AnyReaction).name);
  const twice = names.find((name, nth) => names.indexOf(name) !== nth);
  if (twice !== undefined) throw new Error(`two declarations of reaction '${twice}'`);
  return list;
}
