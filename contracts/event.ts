import type { z } from 'zod';
import type { PublicShapeDefinition } from './public-shape';
import { checkUpcasts, type Upcasts } from './upcast';

/** What a team promises about a message, beside its shape. A registry, a catalog and a gate read these. */
export interface Stewardship {
  readonly description?: string;
  /** The team that answers for it. */
  readonly owner?: string;
  readonly producers?: readonly string[];
  readonly consumers?: readonly string[];
  /** ISO dates. */
  readonly since?: string;
  readonly deprecated?: string;
}

export interface EventDefinition<Schema extends z.ZodType> extends Stewardship {
  /** Of the shape: 1, 2, 3 … Every older version needs an upcast. */
  readonly version?: number;
  readonly data: Schema;
  /** `{ 1: (v1) => v2, 2: (v2) => v3 }`: each lifts to the next version. */
  readonly upcasts?: Upcasts;
  /** `private` events stay in the log: neither sinks nor the feed carry them. Default `public`. */
  readonly visibility?: 'public' | 'private';
  /** What sinks and the feed carry, where that is not the stored shape. */
  readonly public?: PublicShapeDefinition<z.output<Schema>>;
}

/** An event decided, not yet stored. */
export interface NewEvent<Name extends string = string, Data = unknown> {
  readonly kind: 'event';
  readonly type: Name;
  readonly schemaVersion: number;
  readonly data: Data;
}

/** Who caused an event. One object that travels whole, so that no field is lost on the way. */
export interface Meta {
  readonly correlationId?: string | undefined;
  readonly causationId?: string | undefined;
  readonly actor?: string | undefined;
  readonly traceparent?: string | undefined;
  /** How many reactions led here, one caused by the other; a command from outside has none. */
  readonly depth?: number | undefined;
  /** Those reactions, the first one first: `capture-payment of order/card-1@1`. */
  readonly chain?: readonly string[] | undefined;
}

/** An event as it lies in the log, its data lifted to the newest version. Times are ISO 8601 in UTC, to the microsecond. */
export interface RecordedEvent<Name extends string = string, Data = unknown> {
  readonly type: Name;
  readonly data: Data;
  readonly eventId: string;
  readonly entityType: string;
  readonly entityId: string;
  /** 1..n in the entity's history. */
  readonly version: number;
  readonly partition: number;
  /** 1..head in its partition, gapless. */
  readonly offset: number;
  /** As stored, before any upcast. */
  readonly schemaVersion: number;
  readonly commandId: string;
  readonly origin: 'live' | 'backfill';
  readonly meta: Meta;
  readonly occurredAt: string;
  readonly recordedAt: string;
}

/** A versioned event contract; call it to make an event. */
export interface EventContract<Name extends string = string, Schema extends z.ZodType = z.ZodType> extends Stewardship {
  (data: z.output<Schema>): NewEvent<Name, z.output<Schema>>;
  readonly kind: 'event';
  readonly type: Name;
  readonly version: number;
  readonly schema: Schema;
  readonly upcasts: Upcasts;
  readonly visibility: 'public' | 'private';
  readonly publicShape: PublicShapeDefinition<unknown> | null;
}

export type EventData<Contract> = Contract extends EventContract<string, infer Schema> ? z.output<Schema> : never;

const EVENT_NAME = /^[a-z][a-z0-9-]*(\.[a-z][a-z0-9-]*)+$/;

/** Declares a fact: past tense, dotted (`order.created`). The name is storage format and never changes meaning. */
export function event<const Name extends string, Schema extends z.ZodType>(
  type: Name,
  definition: EventDefinition<Schema>,
): EventContract<Name, Schema> {
  if (!EVENT_NAME.test(type)) throw new Error(`event '${type}': a name is dotted, lower case, like 'order.created'`);
  const { data: schema, version = 1, upcasts = {}, visibility = 'public', public: shape, ...stewardship } = definition;
  checkUpcasts(`event '${type}'`, version, upcasts);
  if (shape && visibility === 'private') throw new Error(`event '${type}': a private event has no public shape`);
  const publicShape = (shape ?? null) as PublicShapeDefinition<unknown> | null;
  const make = (data: z.output<Schema>) => ({ kind: 'event', type, schemaVersion: version, data }) as const;
  const contract = { kind: 'event', type, version, schema, upcasts, visibility, publicShape, ...stewardship } as const;
  return Object.assign(make, contract);
}
