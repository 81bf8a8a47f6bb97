import { deepStrictEqual, fail, strictEqual } from 'node:assert/strict';
import type { NewEvent } from '../contracts/event';
import { lift } from '../contracts/upcast';
import { apply, checkState, decide, parseCommand } from '../model/doors';
import type { AnyEntity, CodeOf, CommandsOf, EventsOf, StateOf } from '../model/entity';
import type { Refusal } from '../model/refusal';

type EventOf<E> = NewEvent<EventsOf<E>['type']>;

interface Then<E> {
  /** Exactly these events, in this order. */
  readonly thenEvents: (expected: readonly EventOf<E>[]) => Then<E>;
  readonly thenRefused: (code: CodeOf<E>) => void;
  /** The state after the decided events. */
  readonly thenState: (expected: StateOf<E>) => Then<E>;
}

/**
 * `given(order, [orderCreated({…})]).when(shipOrder({…})).thenRefused('order.not_paid')`.
 * Decides and evolves through the engine's own doors: data is lifted, passes its schema and must be storable. Throws
 * AssertionError, or `CommandFailed` with the code that a sender would get.
 */
export function given<E extends AnyEntity>(
  entity: E,
  history: readonly EventOf<E>[],
): { readonly when: (command: CommandsOf<E>) => Then<E> } {
  const before = history.reduce<unknown>((state, event) => evolve(entity, state, event), entity.initial);
  if (history.length > 0) checkState(before);
  return {
    when: (command) => {
      const { decision, after } = decideOn(entity, before, command as Sent);
      const then: Then<E> = {
        thenEvents: (expected) => {
          if ('kind' in decision) fail(`refused with '${decision.code}', expected ${expected.length} events`);
          deepStrictEqual(decision, expected);
          return then;
        },
        thenRefused: (code) => {
          if (!('kind' in decision)) {
            fail(`accepted with ${decision.map(({ type }) => type).join(', ') || 'no events'}, expected '${code}'`);
          }
          strictEqual(decision.code, code);
        },
        thenState: (expected) => {
          if ('kind' in decision) fail(`refused with '${decision.code}', expected a state`);
          deepStrictEqual(after, expected);
          return then;
        },
      };
      return then;
    },
  };
}

interface Sent {
  readonly name: string;
  readonly version: number;
  readonly data: unknown;
}

interface DecidedOn {
  readonly decision: readonly NewEvent[] | Refusal;
  readonly after: unknown;
}

function decideOn(entity: AnyEntity, before: unknown, command: Sent): DecidedOn {
  const decision = decide(entity, before, command.name, parseCommand(entity, command));
  if ('kind' in decision) return { decision, after: before };
  let after = before;
  const events = decision.map((event) => {
    const { data, state } = apply(entity, after, event);
    after = state;
    return { ...event, data };
  });
  if (events.length > 0) checkState(after);
  return { decision: events, after };
}

/** An event of the past may be of an older version; what is decided may not. */
function evolve(entity: AnyEntity, state: unknown, event: NewEvent): unknown {
  const contract = entity.events.find(({ type }) => type === event.type);
  if (!contract) fail(`'${event.type}' is not an event of ${entity.name}`);
  const data = lift(contract, event.schemaVersion, event.data);
  return apply(entity, state, { ...event, schemaVersion: contract.version, data }).state;
}
