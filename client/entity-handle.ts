import type { Pool } from 'pg';
import type { RecordedEvent } from '../contracts/event';
import { eventIdOf } from '../contracts/event-id';
import { engineRefusals, failures, type CommandMessage, type Outcome } from '../contracts/message';
import type { AnyEntity, CodeOf, CommandsOf, EventsOf, StateOf } from '../model/entity';
import type { EventData } from '../contracts/event';
import type { Model } from '../model/model';
import { partitionOf } from '../model/partition';
import type { Coalescer } from './coalescer';
import { workflowIdOf } from './deliver';
import { toMessage, type PostOptions } from './door';
import { isRefusedForGood } from './grpc-retry';
import { readHistory, readState, readStateAt, type EntityState, type Moment } from './read';
import { InvalidCommand, PostUnknown, type Accepted, type SendResult, type Unknown, type Waited } from './send-result';
import type { ProjectionWaits } from './wait-for';

export interface SendOptions extends PostOptions {
  /** Read models that must show the command before the answer returns. */
  readonly waitFor?: readonly string[];
}

type RecordedEventsOf<E> = {
  [C in EventsOf<E> as C['type']]: RecordedEvent<C['type'], EventData<C>>;
}[EventsOf<E>['type']];

/** One entity, seen from a service. */
export interface EntityHandle<E> {
  /** Sends a command and waits for its answer. Throws `InvalidCommand` before sending; a refusal is a value. */
  send(command: CommandsOf<E>, options?: SendOptions): Promise<SendResult<CodeOf<E>>>;
  /**
   * Hands a command over without waiting: durable in Temporal when this returns, not yet decided. Throws `PostUnknown`
   * when Temporal did not take it, or did not say so by the deadline.
   */
  post(command: CommandsOf<E>, options?: PostOptions): Promise<{ readonly commandId: string }>;
  /** The state now; null when nothing has happened. */
  state(): Promise<EntityState<StateOf<E>> | null>;
  /** Its events, oldest first, in their newest shape. */
  history(): Promise<RecordedEventsOf<E>[]>;
  /** The state as it was: at a version (null when it has not reached it), at a moment of recording, or (`{ occurred }`) of occurring. */
  at(moment: Moment): Promise<EntityState<StateOf<E>> | null>;
}

export interface QueuedCommand {
  readonly message: CommandMessage;
  /** Milliseconds since 1970. */
  readonly deadline: number;
}

export interface HandlePorts {
  readonly model: Model;
  readonly db: Pool;
  readonly partitions: number;
  readonly idPrefix: string;
  readonly sends: Coalescer<QueuedCommand, Outcome>;
  readonly posts: Coalescer<QueuedCommand, true>;
  readonly waits: ProjectionWaits;
}

const DEADLINE_MS = 30_000;

export function makeEntityHandle(ports: HandlePorts, entity: AnyEntity, id: string): EntityHandle<AnyEntity> {
  const { model, db, partitions, idPrefix, sends, posts, waits } = ports;
  const workflowId = workflowIdOf(idPrefix, entity.name, id);

  return {
    async send(command, options = {}) {
      const message = toMessage(entity, id, command, options);
      checkReadModels(model, options.waitFor ?? []);
      const deadline = deadlineIn(options.deadline ?? DEADLINE_MS);
      const outcome = await answerBy(deadline, message.commandId, (signal) =>
        sends.submit(workflowId, { message, deadline }, signal),
      );
      if (outcome.outcome === 'unknown') return outcome;
      const result = toResult(entity, message, outcome);
      return result.outcome === 'accepted' ? waitFor(result, outcome, options.waitFor ?? [], deadline) : result;
    },
    async post(command, options = {}) {
      const message = toMessage(entity, id, command, options);
      const { commandId } = message;
      const deadline = deadlineIn(options.deadline ?? DEADLINE_MS);
      const taken = await answerBy(deadline, commandId, (signal) =>
        posts.submit(workflowId, { message, deadline }, signal),
      ).catch((cause: unknown) => {
        throw new PostUnknown(commandId, cause instanceof Error ? cause.message : String(cause), { cause });
      });
      if (taken !== true) throw new PostUnknown(commandId, NO_ANSWER);
      return { commandId };
    },
    state: () => readState(db, model, entity, id),
    history: () => readHistory(db, model, entity, id) as Promise<never[]>,
    at: (moment) => readStateAt(db, model, entity, id, moment),
  };

  async function waitFor(accepted: Accepted, outcome: Outcome, projections: readonly string[], deadline: number) {
    if (outcome.outcome !== 'accepted' || projections.length === 0) return accepted;
    const waited = await Promise.all(
      projections.map(async (projection): Promise<[string, Waited]> => {
        // Nothing of it is folded there: the read model shows it as it is.
        const folds = model.projection(projection)?.from.includes(entity.name);
        if (outcome.offset === null || !folds) return [projection, 'applied'];
        const partition = partitionOf(entity.name, id, partitions);
        const place = { entityType: entity.name, entityId: id, partition, offset: outcome.offset };
        return [projection, await waits.wait(projection, place, deadline)];
      }),
    );
    return { ...accepted, waited: Object.fromEntries(waited) };
  }
}

// What a timer holds: 24.8 days.
const DEADLINE_MS_MAX = 2 ** 31 - 1;

function deadlineIn(ms: number): number {
  if (typeof ms !== 'number' || !(ms >= 0))
    throw new InvalidCommand('reprise.command_invalid', `deadline ${ms} is not a number of milliseconds`);
  return Date.now() + Math.min(ms, DEADLINE_MS_MAX);
}

/** The answer, or 'unknown' at the deadline: then an unsent command is taken back, a sent one may still happen. */
async function answerBy<Answer>(
  deadline: number,
  commandId: string,
  ask: (signal: AbortSignal) => Promise<Answer>,
): Promise<Answer | Unknown> {
  const abort = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Unknown>((resolve) => {
    timer = setTimeout(
      () => {
        abort.abort();
        resolve(unknown(commandId, NO_ANSWER));
      },
      Math.max(0, deadline - Date.now()),
    );
  });
  try {
    return await Promise.race([ask(abort.signal), late]);
  } catch (error) {
    if (isRefusedForGood(error) || Date.now() < deadline - EARLY_MS) throw error;
    return unknown(commandId, error instanceof Error ? error.message : String(error));
  } finally {
    clearTimeout(timer);
  }
}

// A send gives up when no further attempt fits before the deadline; what ended it then is the deadline.
const EARLY_MS = 2_500;

const NO_ANSWER = 'no answer within the deadline';

const unknown = (commandId: string, why: string): Unknown => ({
  outcome: 'unknown',
  commandId,
  message: `${why}: the command may or may not have happened. Send it again under the same commandId to know.`,
});

function toResult(entity: AnyEntity, message: CommandMessage, outcome: Outcome): Exclude<SendResult, Unknown> {
  const { commandId, lastVersion: version } = outcome;
  if (outcome.outcome === 'accepted') {
    const eventIds = versionsOf(outcome.firstVersion, version).map((at) => eventIdOf({ ...message, version: at }));
    return { outcome: 'accepted', commandId, version, eventIds, repeated: outcome.repeated ?? false, waited: {} };
  }
  if (outcome.outcome === 'failed') {
    const { code } = outcome;
    return { outcome: 'failed', commandId, version, code, message: outcome.message ?? failures[code] };
  }
  const { code } = outcome;
  const sentences: Record<string, string> = { ...engineRefusals, ...entity.refusals };
  return {
    outcome: 'refused',
    commandId,
    version,
    code: code as keyof typeof engineRefusals,
    message: sentences[code] ?? code,
    repeated: outcome.repeated ?? false,
  };
}

function versionsOf(first: number | null, last: number): number[] {
  return first === null ? [] : Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

function checkReadModels(model: Model, names: unknown): void {
  if (!isList(names)) throw new InvalidCommand('reprise.command_invalid', 'waitFor is no list of names of read models');
  const wrong = names.findIndex((name) => typeof name !== 'string' || !model.projection(name));
  if (wrong < 0) return;
  const known = model.projections.map(({ name }) => name).join(', ');
  throw new InvalidCommand(
    'reprise.command_invalid',
    `waitFor: there is no read model ${JSON.stringify(names[wrong])}; the model has ${known || 'none'}`,
  );
}

const isList = (value: unknown): value is readonly unknown[] => Array.isArray(value);
