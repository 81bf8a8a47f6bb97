import type { Projection } from '../../model/projection';
import type { Selection } from '../../workflows/replay';

/** A choice that makes no sense, or whose rows could not be folded again by themselves: the message says why. */
export class SelectionRefused extends Error {
  override readonly name = 'SelectionRefused';
}

export interface EntityName {
  readonly entityType: string;
  readonly entityId: string;
}

/** `order/10248`; an id may hold slashes of its own. */
export function parseEntity(text: string): EntityName {
  const at = text.indexOf('/');
  if (at < 1 || at === text.length - 1) throw new SelectionRefused(`'${text}' is no entity: say it like order/10248`);
  return { entityType: text.slice(0, at), entityId: text.slice(at + 1) };
}

type Folded = Pick<Projection, 'name' | 'from' | 'oneEntityPerRow'>;

/** What is left of a choice for one projection; null: that is all it folds. Throws `SelectionRefused`. */
export function choiceFor(projection: Folded, selection: Selection | null): Selection | null {
  const { entities, entityTypes, since, sinceOffsets } = selection ?? {};
  const byTime = since !== undefined || sinceOffsets !== undefined;
  if (since !== undefined && sinceOffsets !== undefined) throw new SelectionRefused('a time or a position, not both');
  if (since !== undefined) checkTime(since);
  if (entities && (byTime || entityTypes)) throw new SelectionRefused('name entities, or choose them by type or time');
  if (entities?.length === 0) throw new SelectionRefused('no entity is named');
  checkFolded(projection, [...(entityTypes ?? []), ...(entities ?? []).map((one) => parseEntity(one).entityType)]);
  if (!entities && !byTime && (!entityTypes || projection.from.every((type) => entityTypes.includes(type))))
    return null;
  if (!projection.oneEntityPerRow) throw sharedRows(projection);
  return selection;
}

const TIME = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d))?$/;

/** A day, or a moment with its zone: one without would be another for whoever asks and for the database. */
export const isTime = (text: string): boolean => TIME.test(text) && !Number.isNaN(Date.parse(text));

function checkTime(since: string): void {
  if (!isTime(since))
    throw new SelectionRefused(`'${since}' is no time: say it like 2026-07-01 or 2026-07-01T12:00:00Z`);
}

function checkFolded({ name, from }: Folded, types: readonly string[]): void {
  const other = types.find((type) => !from.includes(type));
  if (other !== undefined)
    throw new SelectionRefused(`${name} is folded from ${from.join(', ')}: no ${other} has a row in it`);
}

// To find all that feed such a row, the log has to be read: as much as the whole replay reads, which mends all rows.
const sharedRows = ({ name }: Folded): SelectionRefused =>
  new SelectionRefused(
    `a row of ${name} is fed by several entities, so it cannot be folded again from some of them: ` +
      `replay ${name} as a whole, which reads no more of the log than finding them all would`,
  );
