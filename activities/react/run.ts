import { ApplicationFailure } from '@temporalio/common';
import type { Pool } from 'pg';
import type { Meta, RecordedEvent } from '../../contracts/event';
import type { Command } from '../../contracts/command';
import type { Model } from '../../model/model';
import type { AnyReaction, ReactionAnswer, ReactionContext } from '../../model/reaction';
import type { ProcessCall, ProcessActivities } from '../../workflows/process';
import type {
  HandlerActivities,
  HandlerEnd,
  LineEnd,
  LineRef,
  NoteActivities,
  ReactionRef,
} from '../../workflows/reaction';
import { markDone, markParked, nextInLine } from './rows';
import { reactionKey } from './start';
import { LINE_TURN_MS } from '../../workflows/names';
import { asTry, withoutBound, type Try } from './tries';
import { beginTry, forgetTries, giveBackTry, type Tried } from './try-rows';

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
  /** Sends a command and waits for its answer. Throws `NoAnswer` when there is none. */
  readonly send: (to: CommandToSend) => Promise<ReactionAnswer>;
}

export interface CommandToSend {
  readonly entityType: string;
  readonly entityId: string;
  readonly command: Command;
  readonly commandId: string;
  readonly meta: Meta;
}

export type ReactionActivities = HandlerActivities & ProcessActivities & NoteActivities;

/** The activities of reactions: everything that reaches the outside, in its own worker, and again under the same key. */
export function makeReactionActivities(ports: RunPorts): ReactionActivities {
  const { db, model, reactions, currentTry, send, parkedMax } = ports;

  return {
    handle: (ref) => withoutBound(currentTry(), () => handle(ref)),
    handleLine: (line) => withoutBound(currentTry(), () => handleLine(line)),
    runStep: ({ ref, nth }, { name, input }) =>
      withoutBound(currentTry(), async () => {
        const step = reactionOf(ref).process?.steps[name];
        if (!step) throw new UnknownHere(`step '${name}' of reaction '${ref.reaction}'`);
        const key = `${reactionKey(ref)}/${name}/${nth}`;
        return tryStep({ ref, step: `${name}/${nth}` }, (event, begun) =>
          step(input as never, contextOf(ref, event, key, begun) as never),
        );
      }),
    sendCommand: ({ ref, nth }: ProcessCall, to) =>
      withoutBound(currentTry(), () =>
        tryStep({ ref, step: `send ${to.entityType}/${to.entityId}/${to.command.name}/${nth}` }, (event) =>
          sendFrom(ref, event, nth, to),
        ),
      ),
    noteDone: (ref) => markDone(db, ref),
    giveUp: (ref, failure) => markParked(db, ref, failure, parkedMax),
    nextInLine: (line) => nextInLine(db, line),
  };

  async function handleLine(line: LineRef): Promise<LineEnd> {
    // A rate is kept by Temporal, which counts activities.
    const turnMs = reactionOf(line).limits.perSecond === undefined ? LINE_TURN_MS : 0;
    const turnEnds = Date.now() + turnMs;
    do {
      const next = await nextInLine(db, line);
      if (!next) return { more: false };
      if ((await handle(next)) === 'done-unnoted') return { more: true, unnoted: next };
    } while (Date.now() < turnEnds && !currentTry().signal.aborted);
    return { more: true };
  }

  async function handle(ref: ReactionRef): Promise<HandlerEnd> {
    const reaction = reactionOf(ref);
    const { handle: act, retry, order, on } = reaction;
    if (!act) throw new UnknownHere(`the handler of reaction '${ref.reaction}'`);
    const inOrder = order === 'per-entity';
    const begun = await beginTry(db, { ref }, { max: retry.attempts, inOrder });
    if (begun?.status !== 'open' || begun.run !== ref.run) return 'ended-before';
    if (inOrder && begun.behindOthers) return 'held';
    const { nth, event } = begun;
    if (nth === null) throw uncertain(ref, retry.attempts);
    if (!on.includes(event.type)) throw notItsEvent(ref, event);
    await tried({ ref }, nth, () => {
      const lifted = model.lift(event);
      return act(lifted, contextOf(ref, lifted, reactionKey(ref), nth) as never);
    });
    // It has happened: that it cannot be noted now must not make it happen again.
    return markDone(db, ref).then(
      () => 'done',
      () => 'done-unnoted',
    );
  }

  async function tryStep<T>(of: Required<Tried>, act: (event: RecordedEvent, nth: number) => Promise<T>): Promise<T> {
    const { ref } = of;
    const max = reactionOf(ref).retry.attempts;
    const begun = await beginTry(db, of, { max });
    if (begun?.status !== 'open' || begun.run !== ref.run) throw notThisRun(ref, begun);
    const { nth, event } = begun;
    if (nth === null) throw uncertain(ref, max, of.step);
    const answer = await tried(of, nth, () => act(model.lift(event), nth));
    await forgetTries(db, of).catch(() => undefined); // it goes with the row's end at the latest
    return answer;
  }

  function tried<T>(of: Tried, nth: number, act: () => Promise<T>): Promise<T> {
    const by = { reaction: reactionOf(of.ref), nth, current: currentTry(), details: detailsOf(of.ref, nth) };
    // Lifting an event is part of it: an upcast is the project's own code.
    return asTry({ ...by, giveBack: () => giveBackTry(db, of) }, async () => act());
  }

  function contextOf(
    ref: ReactionRef,
    event: RecordedEvent,
    idempotencyKey: string,
    attempt: number,
  ): ReactionContext & object {
    return {
      ...(ports.ports as object),
      idempotencyKey,
      attempt,
      signal: currentTry().signal,
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

  function reactionOf(ref: LineRef): AnyReaction {
    const found = reactions.find(({ name }) => name === ref.reaction);
    if (!found) throw new UnknownHere(`reaction '${ref.reaction}'`);
    return found;
  }
}

/** A worker with the code will take it. */
class UnknownHere extends Error {
  constructor(what: string) {
    super(`${what} is not known here: deploy the worker that has it`);
  }
}

/** What its workflow must know of a failure: which try it was, and of what. */
const detailsOf = ({ version, run }: ReactionRef, nth: number): number[] => [nth, version, run];

const notItsEvent = (ref: ReactionRef, { type }: RecordedEvent): ApplicationFailure =>
  ApplicationFailure.create({
    message: `${ref.reaction} does not react to ${type}`,
    type: 'NotItsEvent',
    details: detailsOf(ref, 1),
    nonRetryable: true,
  });

/** Its process was killed, or it lasted too long, or that it ended was not heard of. */
function uncertain(ref: ReactionRef, tries: number, step?: string): ApplicationFailure {
  const what = step === undefined ? ref.reaction : `${ref.reaction}, ${step},`;
  const times = tries === 1 ? 'before' : `${tries} times`;
  return ApplicationFailure.create({
    message: `${what} was begun ${times}, and nobody knows how that ended`,
    type: 'Uncertain',
    details: detailsOf(ref, tries),
    nonRetryable: true,
  });
}

const notThisRun = (ref: ReactionRef, at: { readonly status: string; readonly run: number } | null) =>
  ApplicationFailure.nonRetryable(
    `${reactionKey(ref)} is ${at?.status ?? 'gone'}, run ${at?.run ?? '-'}: not this one`,
  );

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
