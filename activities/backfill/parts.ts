import type { CommandMessage, Outcome } from '../../contracts/message';
import type { BackfillPart } from '../commit/write';
import { placeOf } from './chunks';
import { presentable, type Item, type Reject } from './map-row';

export interface PartOf {
  readonly run: string;
  readonly epoch: number;
  readonly partition: number;
}

/** What is stored beside a batch: how far its partition is, how much was taken, and what was not. */
export function toPart(of: PartOf, items: readonly Item[], outcomes: readonly Outcome[]): BackfillPart {
  let accepted = 0;
  let repeated = 0;
  let events = 0;
  const rejects: Reject[] = [];
  outcomes.forEach((outcome, at) => {
    const item = items[at];
    if (!item) return;
    if (outcome.outcome !== 'accepted') return void rejects.push(toReject(item, outcome));
    if (outcome.repeated) repeated += 1;
    else accepted += 1;
    if (!outcome.repeated && outcome.firstVersion !== null) events += outcome.lastVersion - outcome.firstVersion + 1;
  });
  const last = items.at(-1);
  return {
    ...of,
    through: last ? placeOf(last) : 0,
    accepted,
    repeated,
    events,
    rejects: rejects.map((one) => ({ ...one })),
  };
}

function toReject({ row, nth, line, id, message }: Item, outcome: Exclude<Outcome, { outcome: 'accepted' }>): Reject {
  const said = outcome.outcome === 'failed' ? (outcome.message ?? null) : null;
  return {
    row,
    nth,
    line,
    id,
    entity: addressOf(message),
    code: outcome.code,
    message: said === null ? null : presentable(said),
  };
}

const addressOf = ({ entityType, entityId }: CommandMessage): string => `${entityType}/${entityId}`;
