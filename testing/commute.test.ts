import { AssertionError } from 'node:assert';
import { z } from 'zod';
import { event } from '../contracts/event';
import { entity } from '../model/entity';
import { projection, sql } from '../model/projection';
import { assertCommutes } from './commute';
import { recorded } from './projection-spec';

const counted = event('thing.counted', { data: z.object({ by: z.number() }) });
const thing = entity('thing', {
  version: 1,
  commands: [],
  events: [counted],
  refusals: {},
  initial: {},
  decide: {},
  evolve: { 'thing.counted': (state) => state },
});
const totals = (fold: (total: number, by: number, version: number) => number) =>
  projection('totals', {
    version: 1,
    from: [thing],
    table: sql`name text primary key, total bigint not null`,
    key: () => 'all',
    initial: (name) => ({ name, total: 0 }),
    fold: {
      'thing.counted': (row, { data, version }) => ({ ...row, total: fold(row.total, data.by, version) }),
    },
  });
const history = (entityId: string, ...by: number[]) =>
  recorded(
    { entityType: 'thing', entityId },
    by.map((one) => counted({ by: one })),
  );
const last = totals((_total, by) => by);

function failureOf(run: () => void): AssertionError {
  try {
    run();
  } catch (error) {
    if (error instanceof AssertionError) return error;
  }
  throw new Error('it passed');
}

test('sums and maxima commute', () => {
  const histories = [history('a', 1, 2), history('b', 3), history('c', 4, 5, 6)];
  assertCommutes(totals((total, by) => total + by), histories); // prettier-ignore
  assertCommutes(totals(Math.max), histories);
});
test('a failure names both orders and holds the rows of both', () => {
  const failure = failureOf(() => assertCommutes(last, [history('a', 1), history('b', 2)]));
  expect(failure.message).toContain('totals depends on the order: b@1, a@1 gives other rows than a@1, b@1');
  expect(failure.actual).toEqual([['all', { name: 'all', total: 1 }]]);
  expect(failure.expected).toEqual([['all', { name: 'all', total: 2 }]]);
});
test("each entity's own order is kept", () => {
  // Throws when a history is told out of its order.
  const versions = new Map<number, number>();
  const inOrder = projection('in_order', {
    version: 1,
    from: [thing],
    table: sql`name text primary key, seen jsonb not null`,
    key: () => 'all',
    initial: (name) => ({ name, seen: {} as Record<string, number> }),
    fold: {
      'thing.counted': (row, { entityId, version }) => {
        if (version !== (row.seen[entityId] ?? 0) + 1) throw new Error(`${entityId}@${version} is out of order`);
        versions.set(version, (versions.get(version) ?? 0) + 1);
        return { ...row, seen: Object.fromEntries(Object.entries({ ...row.seen, [entityId]: version }).sort()) };
      },
    },
  });
  assertCommutes(inOrder, [history('a', 1, 2, 3), history('b', 1, 2)]);
  expect(versions.get(3)).toBe(201); // 200 orders and the one they are compared with
});
test('the same seed tries the same orders', () => {
  const histories = [history('a', 1, 2), history('b', 3, 4), history('c', 5)];
  const messageOf = (seed: number) => failureOf(() => assertCommutes(last, histories, seed)).message;
  expect(messageOf(7)).toBe(messageOf(7));
  expect(new Set([1, 2, 3, 4, 5, 6].map(messageOf)).size).toBeGreaterThan(1);
});
