import { deepStrictEqual, fail, strictEqual } from 'node:assert/strict';
import type { NewEvent } from '../contracts/event';
import { unlikeJson, unstorable } from '../contracts/storable';
import { lift } from '../contracts/upcast';
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
 * Decides and evolves as the engine does: data is lifted, passes its schema and must be storable. Throws AssertionError,
 * or ZodError for data that does not fit its contract.
 */
export function given<E extends AnyEntity>(
  entity: E,
  history: readonly EventOf<E>[],
): { readonly when: (command: CommandsOf<E>) => Then<E> } {
  const before = history.reduce<unknown>((state, event) => evolve(entity, state, event), entity.initial);
  return {
    when: (command) => {
      const decision = decide(entity, before, command as { name: string; version: number; data: unknown });
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
          deepStrictEqual(
            decision.reduce<unknown>((state, event) => evolve(entity, state, event), before),
            expected,
          );
          return then;
        },
      };
      return then;
    },
  };
}

function decide(
  entity: AnyEntity,
  state: unknown,
  command: { readonly name: string; readonly version: number; readonly data: unknown },
): readonly NewEvent[] | Refusal {
  const contract = entity.commands.find(({ type }) => type === command.name);
  if (!contract) fail(`${entity.name} takes no '${command.name}'`);
  failUnstorable(command.name, command.data);
  const data = contract.schema.parse(lift(contract, command.version, command.data));
  const decision = entity.decide(state, command.name, data);
  if ('kind' in decision) {
    if (!Object.hasOwn(entity.refusals, decision.code))
      fail(`'${decision.code}' is not in the refusals of ${entity.name}`);
    return decision;
  }
  return decision.map((event) => ({ ...event, data: parseEvent(entity, event) }));
}

function evolve(entity: AnyEntity, state: unknown, event: NewEvent): unknown {
  const evolved = entity.evolve(state, { type: event.type, data: parseEvent(entity, event) });
  failUnlikeJson('the state', evolved);
  return evolved;
}

function parseEvent(entity: AnyEntity, event: NewEvent): unknown {
  const contract = entity.events.find(({ type }) => type === event.type);
  if (!contract) fail(`'${event.type}' is not an event of ${entity.name}`);
  const data = contract.schema.parse(lift(contract, event.schemaVersion, event.data));
  failUnlikeJson(event.type, data);
  return data;
}

function failUnstorable(what: string, value: unknown): void {
  const reason = unstorable(value);
  if (reason) fail(`${what} ${reason}`);
}

function failUnlikeJson(what: string, value: unknown): void {
  const reason = unstorable(value) ?? unlikeJson(value);
  if (reason) fail(`${what} ${reason}`);
}
