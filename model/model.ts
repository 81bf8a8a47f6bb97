import type { CommandContract } from '../contracts/command';
import type { EventContract, RecordedEvent } from '../contracts/event';
import { BehindCode, lift } from '../contracts/upcast';
import type { AnyEntity } from './entity';
import type { Projection } from './projection';

export interface ModelDefinition<Entities extends readonly AnyEntity[]> {
  readonly entities: Entities;
  readonly projections?: readonly Projection[];
}

/** Everything a team declared, checked as a whole and looked up by name. */
export interface Model<Entities extends readonly AnyEntity[] = readonly AnyEntity[]> {
  readonly entities: Entities;
  readonly projections: readonly Projection[];
  readonly entity: (name: string) => AnyEntity | undefined;
  readonly projection: (name: string) => Projection | undefined;
  readonly command: (entityType: string, name: string) => CommandContract | undefined;
  readonly event: (type: string) => EventContract | undefined;
  /** The reading door: stored data in, the newest shape out. Throws `BehindCode` for what this code does not know yet. */
  readonly decode: (type: string, schemaVersion: number, data: unknown) => unknown;
  /** The same for an event as a whole: as stored in, with its data in the newest shape out. */
  readonly lift: <Event extends RecordedEvent>(event: Event) => Event;
}

/** The model's list: a new entity is one folder and one line here. */
export function model<const Entities extends readonly AnyEntity[]>(
  definition: ModelDefinition<Entities>,
): Model<Entities> {
  const { entities, projections = [] } = definition;
  const entityByName = uniquely('entity', entities, (entity) => entity.name);
  const projectionByName = uniquely('projection', projections, (projection) => projection.name);
  const events = entities.flatMap((entity) => entity.events);
  const eventByType = uniquely('event', events, (event) => event.type);
  const commands = new Map(
    entities.map((entity) => [entity.name, uniquely('command', entity.commands, (command) => command.type)]),
  );
  for (const { name, from } of projections) checkSources(name, from, entityByName);
  const decode = (type: string, schemaVersion: number, data: unknown): unknown => {
    const contract = eventByType.get(type);
    if (!contract) throw new BehindCode(`event type '${type}' is not in this code's model`);
    return lift(contract, schemaVersion, data);
  };
  return {
    entities,
    projections,
    entity: (name) => entityByName.get(name),
    projection: (name) => projectionByName.get(name),
    command: (entityType, name) => commands.get(entityType)?.get(name),
    event: (type) => eventByType.get(type),
    decode,
    lift: (event) => ({ ...event, data: decode(event.type, event.schemaVersion, event.data) }),
  };
}

function uniquely<T>(what: string, items: readonly T[], nameOf: (item: T) => string): Map<string, T> {
  const byName = new Map<string, T>();
  for (const item of items) {
    const name = nameOf(item);
    if (byName.has(name) && byName.get(name) !== item) throw new Error(`two declarations of ${what} '${name}'`);
    byName.set(name, item);
  }
  return byName;
}

function checkSources(projection: string, from: readonly string[], entities: Map<string, AnyEntity>): void {
  const missing = from.find((name) => !entities.has(name));
  if (missing)
    throw new Error(`projection '${projection}' folds entity '${missing}', which is not in the model's list`);
}
