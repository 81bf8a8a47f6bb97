import type { z } from 'zod';
import type { Stewardship } from './event';
import { checkUpcasts, type Upcasts } from './upcast';

export interface CommandDefinition<Schema extends z.ZodType> extends Stewardship {
  readonly version?: number;
  readonly data: Schema;
  readonly upcasts?: Upcasts;
}

/** A command as its sender wrote it: before defaults and upcasts. */
export interface Command<Name extends string = string, Data = unknown> {
  readonly kind: 'command';
  readonly name: Name;
  readonly version: number;
  readonly data: Data;
}

/** A versioned command contract; call it to make a command. */
export interface CommandContract<
  Name extends string = string,
  Schema extends z.ZodType = z.ZodType,
> extends Stewardship {
  (data: z.input<Schema>): Command<Name, z.input<Schema>>;
  readonly kind: 'command';
  /** Not `name`: a function has one of its own. */
  readonly type: Name;
  readonly version: number;
  readonly schema: Schema;
  readonly upcasts: Upcasts;
}

export type CommandData<Contract> = Contract extends CommandContract<string, infer Schema> ? z.output<Schema> : never;
export type CommandOf<Contract> =
  Contract extends CommandContract<infer Name, infer Schema> ? Command<Name, z.input<Schema>> : never;

const COMMAND_NAME = /^[a-z][a-z0-9]*(-[a-z0-9]+)*$/;

/** Declares a wish: imperative, dashed (`pay-order`). */
export function command<const Name extends string, Schema extends z.ZodType>(
  type: Name,
  definition: CommandDefinition<Schema>,
): CommandContract<Name, Schema> {
  if (!COMMAND_NAME.test(type)) throw new Error(`command '${type}': a name is dashed, lower case, like 'pay-order'`);
  const { data: schema, version = 1, upcasts = {}, ...stewardship } = definition;
  checkUpcasts(`command '${type}'`, version, upcasts);
  const make = (data: z.input<Schema>) => ({ kind: 'command', name: type, version, data }) as const;
  return Object.assign(make, { kind: 'command', type, version, schema, upcasts, ...stewardship } as const);
}
