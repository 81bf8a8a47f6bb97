import type { AuditInput } from '../../workflows/audit';
import { wrong } from '../replay/parse';

const ENTITIES_DEFAULT = 100;
const ENTITIES_MAX = 100_000;
const PER_SECOND_MAX = 10_000;

/** `--entities` and `--per-second`, of a run and of a schedule. */
export function parseAudit(projection: string, options: Record<string, unknown>): AuditInput {
  return {
    projection,
    entities: parseCount('--entities', options['entities'], ENTITIES_MAX) ?? ENTITIES_DEFAULT,
    perSecond: parseCount('--per-second', options['perSecond'], PER_SECOND_MAX),
  };
}

function parseCount(flag: string, given: unknown, max: number): number | null {
  if (given === undefined) return null;
  const text = given as string; // commander's, of an option with a value
  const count = /^\d{1,9}$/.test(text) ? Number(text) : 0;
  if (count >= 1 && count <= max) return count;
  throw wrong(`${flag} ${text}: not a number of entities`, `A whole number from 1 to ${max}`);
}
