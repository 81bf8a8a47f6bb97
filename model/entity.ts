import type { CommandContract, CommandData, CommandOf } from '../contracts/command';
import type { EventContract, EventData, NewEvent } from '../contracts/event';
import type { Refusal, Refusals } from './refusal';

/** What a decision comes to: events that happened (none is a valid answer), or a refusal. */
export type Decision<Code extends string = string> = readonly NewEvent[] | Refusal<Code>;

/** How an entity type's commands are serialized: a workflow each, or `lanes(n)` that share few workflows. */
export type Routing = { readonly kind: 'per-entity' };
export const perEntity: Routing = { kind: 'per-entity' };

export interface EntityDefinition<
  State,
  Commands extends readonly CommandContract[],
  Events extends readonly EventContract[],
  Codes extends Refusals,
> {
  /** Raised when the meaning of `evolve` changes; a stored state of another version is folded again from its events. */
  readonly version: number;
  readonly commands: Commands;
  readonly events: Events;
  readonly refusals: Codes;
  readonly initial: State;
  readonly decide: {
    readonly [Name in Commands[number]['type']]: (
      state: NoInfer<State>,
      data: CommandData<Extract<Commands[number], { readonly type: Name }>>,
    ) => readonly NewEvent<Events[number]['type']>[] | Refusal<keyof Codes & string>;
  };
  readonly evolve: {
    readonly [Type in Events[number]['type']]: (
      state: NoInfer<State>,
      data: EventData<Extract<Events[number], { readonly type: Type }>>,
    ) => State;
  };
  /** A final entity's workflow closes; a later command opens it again. */
  readonly isFinal?: (state: NoInfer<State>) => boolean;
  readonly routing?: Routing;
}

/** An entity type as the engine sees it: states and data are checked at the doors, so they are opaque here. */
export interface Entity<
  Name extends string = string,
  State = unknown,
  Commands extends readonly CommandContract[] = readonly CommandContract[],
  Events extends readonly EventContract[] = readonly EventContract[],
  Code extends string = string,
> {
  readonly kind: 'entity';
  readonly name: Name;
  readonly version: number;
  readonly commands: Commands;
  readonly events: Events;
  readonly refusals: Readonly<Record<Code, string>>;
  readonly initial: State;
  readonly decide: (state: unknown, command: string, data: unknown) => Decision;
  readonly evolve: (state: unknown, event: { readonly type: string; readonly data: unknown }) => unknown;
  readonly isFinal: (state: unknown) => boolean;
  readonly routing: Routing;
}

// An entity of any kind: what `entity()` returns is one, whatever its type parameters.
export type AnyEntity = Entity;

export type CommandsOf<E> = E extends { readonly commands: infer C extends readonly CommandContract[] }
  ? CommandOf<C[number]>
  : never;
export type StateOf<E> = E extends { readonly initial: infer State } ? State : never;
export type CodeOf<E> = E extends { readonly refusals: Readonly<Record<infer Code extends string, string>> }
  ? Code
  : never;
export type EventsOf<E> = E extends { readonly events: infer Events extends readonly EventContract[] }
  ? Events[number]
  : never;

const ENTITY_NAME = /^[a-z][a-z0-9-]{0,62}$/;

/** Declares an entity: three pure things. No clock, no random, no await: what a decision needs comes in with its command. */
export function entity<
  const Name extends string,
  State,
  const Commands extends readonly CommandContract[],
  const Events extends readonly EventContract[],
  const Codes extends Refusals,
>(
  name: Name,
  definition: EntityDefinition<State, Commands, Events, Codes>,
): Entity<Name, State, Commands, Events, keyof Codes & string> {
  if (!ENTITY_NAME.test(name)) throw new Error(`entity '${name}': a name is lower case letters, digits and dashes`);
  const decide = definition.decide as Record<string, ((state: unknown, data: unknown) => Decision) | undefined>;
  const evolve = definition.evolve as Record<string, ((state: unknown, data: unknown) => unknown) | undefined>;
  const isFinal = definition.isFinal as ((state: unknown) => boolean) | undefined;
  return {
    kind: 'entity',
    name,
    version: definition.version,
    commands: definition.commands,
    events: definition.events,
    refusals: definition.refusals,
    initial: definition.initial,
    decide: (state, command, data) => own(decide, command, `${name} does not decide '${command}'`)(state, data),
    evolve: (state, event) => own(evolve, event.type, `${name} does not evolve by '${event.type}'`)(state, event.data),
    isFinal: (state) => isFinal?.(state) ?? false,
    routing: definition.routing ?? perEntity,
  };
}

/** Only the map's own keys count: `__proto__` and `toString` are names a caller may send. */
function own<T>(map: Record<string, T | undefined>, key: string, otherwise: string): T {
  const found = Object.hasOwn(map, key) ? map[key] : undefined;
  if (found === undefined) throw new Error(otherwise);
  return found;
}
