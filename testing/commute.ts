import { deepStrictEqual } from 'node:assert/strict';
import type { RecordedEvent } from '../contracts/event';
import type { Projection } from '../model/projection';
import { project } from './projection-spec';

const ORDERS_TRIED = 200;

/**
 * Checks that a projection whose rows are fed by several entities commutes: whatever order their histories interleave in,
 * each kept in its own, the rows are the same. Tries 200 orders from a seed. Throws AssertionError with the first that
 * differs: both orders, and the rows of both.
 */
export function assertCommutes(
  projection: Projection,
  histories: readonly (readonly RecordedEvent[])[],
  seed = 1,
): void {
  const oneByOne = histories.flat();
  const expected = sortedRows(projection, oneByOne);
  const random = mulberry32(seed);
  for (let order = 0; order < ORDERS_TRIED; order++) {
    const events = interleave(histories, random);
    deepStrictEqual(
      sortedRows(projection, events),
      expected,
      `${projection.name} depends on the order: ${inWords(events)} gives other rows than ${inWords(oneByOne)}`,
    );
  }
}

const inWords = (events: readonly RecordedEvent[]): string =>
  events.map(({ entityId, version }) => `${entityId}@${version}`).join(', ');

function sortedRows(projection: Projection, events: readonly RecordedEvent[]): [string, unknown][] {
  return [...project(projection, events).rows].sort(([a], [b]) => (a < b ? -1 : 1));
}

function interleave(histories: readonly (readonly RecordedEvent[])[], random: () => number): RecordedEvent[] {
  const left = histories.map((history) => [...history]).filter((history) => history.length > 0);
  const events: RecordedEvent[] = [];
  while (left.length > 0) {
    const at = Math.floor(random() * left.length);
    const next = left[at]?.shift();
    if (next) events.push(next);
    if (left[at]?.length === 0) left.splice(at, 1);
  }
  return events;
}

/** A small seeded generator, so that a failure can be repeated. Source: Tommy Ettinger's mulberry32, public domain. */
function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
