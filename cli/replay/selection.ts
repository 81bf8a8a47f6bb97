import { choiceFor, isTime, parseEntity, SelectionRefused } from '../../activities/replay/selection';
import type { Projection } from '../../model/projection';
import type { Selection } from '../../workflows/replay';
import { wrong } from './parse';

export interface SelectionFlags {
  /** A time, or `partition:offset`, of which several are parted by commas. */
  readonly since?: string | undefined;
  readonly entityType?: readonly string[] | undefined;
  readonly entity?: readonly string[] | undefined;
}

// What a workflow is started with is small; more than these are chosen by type or time.
const ENTITIES_MAX = 1_000;
const POSITIONS = /^\d{1,4}:\d{1,15}(,\d{1,4}:\d{1,15})*$/;

/** `--since`, `--entity-type` and `--entity`, or a usage error. Null: the whole log. */
export function parseSelection({ since, entityType = [], entity = [] }: SelectionFlags): Selection | null {
  const choosing = [since !== undefined && '--since', entityType.length > 0 && '--entity-type'].filter(Boolean);
  if (entity.length > 0 && choosing.length > 0)
    throw wrong(`--entity and ${choosing.join(' and ')} exclude each other`, 'Name the entities, or choose them');
  if (entity.length > ENTITIES_MAX)
    throw wrong(`${entity.length} entities are named, at most ${ENTITIES_MAX} can be`, 'Choose them by --since');
  if (entity.length > 0) return { entities: entity.map(checkedEntity) };
  if (choosing.length === 0) return null;
  return {
    ...(since === undefined ? {} : parseSince(since)),
    ...(entityType.length > 0 ? { entityTypes: [...new Set(entityType)] } : {}),
  };
}

/** The same for one of the projections that are named: null where that is all it folds, or a usage error. */
export function selectionFor(projection: Projection, selection: Selection | null): Selection | null {
  try {
    return choiceFor(projection, selection);
  } catch (error) {
    if (error instanceof SelectionRefused) throw wrong(error.message);
    throw error;
  }
}

function checkedEntity(text: string): string {
  try {
    parseEntity(text);
    return text;
  } catch {
    throw wrong(`--entity ${text}: not an entity`, 'Like order/10248');
  }
}

function parseSince(text: string): Pick<Selection, 'since' | 'sinceOffsets'> {
  if (!POSITIONS.test(text)) return { since: checkedTime(text) };
  const positions = text.split(',').map((position) => position.split(':').map(Number));
  return {
    sinceOffsets: Object.fromEntries(positions.map(([partition = 0, offset = 0]) => [String(partition), offset])),
  };
}

function checkedTime(text: string): string {
  if (isTime(text)) return text;
  throw wrong(
    `--since ${text}: neither a time nor a position`,
    "Like '2026-07-01', '2026-07-01T12:00:00Z', or '12:3400' (partition:offset)",
  );
}
