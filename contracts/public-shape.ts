import type { z } from 'zod';
import type { EventContract } from './event';

/** An event's data as it leaves: what sinks and feeds carry. `version` is that of the shape. */
export interface PublicShape {
  readonly version: number;
  readonly data: unknown;
}

/** Declares a shape of its own for what leaves: the stored one may then change without anybody outside noticing. */
export interface PublicShapeDefinition<Data> {
  /** Of this shape: 1, 2, 3 … */
  readonly version?: number;
  readonly data: z.ZodType;
  /** Pure, from the newest stored shape. */
  readonly from: (data: Data) => unknown;
}

/** The public shape of newest stored data. Throws `ZodError` when `from` made something that its schema refuses. */
export function toPublic(contract: EventContract, data: unknown): PublicShape {
  const { publicShape } = contract;
  if (!publicShape) return { version: contract.version, data };
  return { version: publicShape.version ?? 1, data: publicShape.data.parse(publicShape.from(data)) };
}
