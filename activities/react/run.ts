import { ApplicationFailure } from '@temporalio/common';
import type { Pool } from 'pg';
import type { Meta, RecordedEvent } from '../../contracts/event';
import type { Command } from '../../contracts/command';
import type { Model } from '../../model/model';
import type { AnyReaction, ReactionAnswer, ReactionContext } from '../../model/reaction';
import type { ProcessCall, ProcessActivities } from '../../workflows/process';
import type { ProcessEndActivities } from '../../workflows/process-end';
import type { HandlerActivities, HandlerEnd, ReactionRef } from '../../workflows/reaction';
import { claim, markDone, markParked, readReaction } from './rows';
import { reactionKey } from './start';

/** What an activity knows of the try it is. */
export interface Try {
  readonly attempt: number;
  readonly signal: AbortSignal;
}

export interface RunPorts {
  /** A pool logged in as `reprise_react`. */
  readonly db: Pool;
  readonly model: Model;
  readonly reactions: readonly AnyReaction[];
  /** The project's own: HTTP clients, mail … given to handlers and steps, found nowhere else. */
  readonly ports: unknown;
  readonly currentTry: () => Try;
  /** More parked entities than this stop a reaction. */
  readonly parkedMax?: number | undefined;
  /** Sends a command and waits for its answer. Throws when there is none. */
  readonly send: (to: CommandToSend) => Promise<ReactionAnswer>;
}

export interface CommandToSend {
  readonly entityType: string;
  readonly entityId: string;
  readonly command: Command;
  readonly commandId: string;
  readonly meta: Meta;
}

export type ReactionActivities = HandlerActivities & ProcessActivities & ProcessEndActivities;

/** The activities of reactions: everything that reaches the outside, in its own worker, and again under the same key. */
export function makeReactionActivities({
  db,
  model,
  reactions,
  ports,
  currentTry,
  send,
  parkedMax,
}: RunPorts): ReactionActivities {
  return {
    async handle(ref): Promise<HandlerEnd> {
      const { handle } = reactionOf(ref);
      if (!handle) throw unknownHere(ref);
      const found = await readReaction(db, ref);
      if (found?.status !== 'open' || found.run !== ref.run) return 'ended-before';
      if (reactionOf(ref).order === 'per-entity' && found.behindOthers) return 'held';
      const event = lift(found.event);
      if (!reactionOf(ref).on.includes(event.type)) throw notItsEvent(ref, event);
      if (reactionOf(ref).idempotency === 'at-most-once' && !(await claim(db, ref))) throw uncertain(ref);
      await asTry(() => handle(event, contextOf(ref, event, reactionKey(ref)) as never));
      await markDone(db, ref, currentTry().attempt);
      return 'done';
    },
    async runStep({ ref, nth }, { name, input }) {
      const step = reactionOf(ref).process?.steps[name];
      if (!step) throw unknownHere(ref, `step '${name}'`);
      const event = await startedBy(ref);
      return asTry(() => step(input as never, contextOf(ref, event, `${reactionKey(ref)}/${name}/${nth}`) as never));
    },
    async sendCommand({ ref, nth }: ProcessCall, { entityType, entityId, command }) {
      return sendFrom(ref, await startedBy(ref), nth, { entityType, entityId, command });
    },
    noteDone: (ref) => markDone(db, ref, currentTry().attempt),
    giveUp: (ref, failure) => markParked(db, ref, failure, parkedMax),
  };

  function contextOf(ref: ReactionRef, event: RecordedEvent, idempotencyKey: string): ReactionContext & object {
    const { attempt, signal } = currentTry();
    return {
      ...(ports as object),
      idempotencyKey,
      attempt,
      signal,
      send: (entityType, entityId, command, { nth = 1 } = {}) =>
        sendFrom(ref, event, nth, { entityType, entityId, command }),
    };
  }

  function sendFrom(
    ref: ReactionRef,
    event: RecordedEvent,
    nth: number,
    to: Pick<CommandToSend, 'entityType' | 'entityId' | 'command'>,
  ): Promise<ReactionAnswer> {
    const suffix = nth === 1 ? '' : `/${nth}`;
    const commandId = `${ref.reaction}/${event.eventId}/${to.command.name}${suffix}`;
    return send({ ...to, commandId, meta: causedBy(ref, event) });
  }

  async function startedBy(ref: ReactionRef): Promise<RecordedEvent> {
    const found = await readReaction(db, ref);
    if (found?.status === 'open' && found.run === ref.run) return lift(found.event);
    throw ApplicationFailure.nonRetryable(
      `${reactionKey(ref)} is ${found?.status ?? 'gone'}, run ${found?.run ?? '-'}: not this one`,
    );
  }

  function reactionOf(ref: ReactionRef): AnyReaction {
    const found = reactions.find(({ name }) => name === ref.reaction);
    if (!found) throw unknownHere(ref);
    return found;
  }

  function lift(event: RecordedEvent): RecordedEvent {
    return { ...event, data: model.decode(event.type, event.schemaVersion, event.data) };
  }

  /** What a handler throws, as Temporal takes it: when to try again, or that no try helps. */
  async function asTry<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      const { message, name, afterMs } = error as { message?: string; name?: string; afterMs?: number };
      const told = { message: message ?? String(error), type: name ?? 'Error', details: [currentTry().attempt] };
      if (name === 'GiveUp') throw ApplicationFailure.create({ ...told, nonRetryable: true });
      if (name === 'RetryLater')
        throw ApplicationFailure.create({ ...told, nextRetryDelay: Math.max(0, afterMs ?? 0) });
      throw ApplicationFailure.create(told);
    }
  }
}

const notItsEvent = ({ reaction }: ReactionRef, { type }: RecordedEvent): ApplicationFailure =>
  ApplicationFailure.nonRetryable(`${reaction} does not react to ${type}`, 'NotItsEvent');

const uncertain = ({ reaction }: ReactionRef): ApplicationFailure =>
  ApplicationFailure.nonRetryable(`${reaction} was begun before, and nobody knows how that ended`, 'Uncertain');

const unknownHere = (ref: ReactionRef, what = `reaction '${ref.reaction}'`): ApplicationFailure =>
  ApplicationFailure.retryable(`${what} is not known here: deploy the worker that has it`, 'UnknownHere');

/** One object that travels on: what began it all, what caused this, and how deep the chain is. */
function causedBy(ref: ReactionRef, { eventId, meta }: RecordedEvent): Meta {
  return {
    correlationId: meta.correlationId ?? eventId,
    causationId: eventId,
    ...(meta.traceparent === undefined ? {} : { traceparent: meta.traceparent }),
    depth: (meta.depth ?? 0) + 1,
    chain: [...(meta.chain ?? []), `${ref.reaction} of ${ref.entityType}/${ref.entityId}@${ref.version}`],
  };
}
