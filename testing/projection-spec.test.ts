import { z } from 'zod';
import { event } from '../contracts/event';
import { entity } from '../model/entity';
import { projection, sql } from '../model/projection';
import { project, recorded } from './projection-spec';

const counted = event('thing.counted', { data: z.object({ by: z.number() }) });
const removed = event('thing.removed', { data: z.object({}) });
const ignored = event('thing.ignored', { data: z.object({}) });
const thing = entity('thing', {
  version: 1,
  commands: [],
  events: [counted, removed, ignored],
  refusals: {},
  initial: {},
  decide: {},
  evolve: {
    'thing.counted': (state) => state,
    'thing.removed': (state) => state,
    'thing.ignored': (state) => state,
  },
});
const things = (fold: (total: number, by: number) => number) =>
  projection('things', {
    version: 1,
    from: [thing],
    table: sql`id text primary key, total bigint not null`,
    initial: (id) => ({ id, total: 0 }),
    fold: {
      'thing.counted': (row, { data }) => ({ ...row, total: fold(row.total, data.by) }),
      'thing.removed': () => null,
    },
  });
const last = things((_total, by) => by);
const sum = things((total, by) => total + by);
const a = { entityType: 'thing', entityId: 'a' };

test('recorded events have the versions, ids and times the log would give them', () => {
  const [first, second] = recorded({ ...a, firstVersion: 4 }, [counted({ by: 1 }), counted({ by: 2 })]);
  expect(first).toMatchObject({ ...a, type: 'thing.counted', version: 4, schemaVersion: 1, data: { by: 1 } });
  expect(second).toMatchObject({ version: 5, offset: 5, occurredAt: '2026-01-01T00:05:00.000Z' });
  expect(first?.eventId).not.toBe(second?.eventId);
  expect(recorded(a, [counted({ by: 1 })], '1996-07-04T00:00:00Z')[0]?.occurredAt).toBe('1996-07-04T00:00:00Z');
});
test.each([1, 2, 5])('a fold that sets what it is told stands %i deliveries', (deliveries) => {
  project(last, recorded(a, [counted({ by: 1 }), counted({ by: 2 })]), { deliveries }).thenRows([
    { id: 'a', total: 2 },
  ]);
});
test('a fold that adds up is found by a second delivery', () => {
  const history = recorded(a, [counted({ by: 1 }), counted({ by: 2 })]);
  project(sum, history).thenRows([{ id: 'a', total: 3 }]);
  expect(() => project(sum, history, { deliveries: 2 }).thenRows([{ id: 'a', total: 3 }])).toThrow(/equal/);
});
test('a removed row is gone, and begins anew', () => {
  const history = [counted({ by: 1 }), removed({})];
  project(sum, recorded(a, history)).thenRows([]);
  project(sum, recorded(a, [...history, counted({ by: 5 })])).thenRows([{ id: 'a', total: 5 }]);
});
test('rows of several entities are kept apart', () => {
  const b = { ...a, entityId: 'b' };
  const { rows } = project(sum, [...recorded(a, [counted({ by: 1 })]), ...recorded(b, [counted({ by: 2 })])]);
  expect([rows.get('a'), rows.get('b')]).toEqual([
    { id: 'a', total: 1 },
    { id: 'b', total: 2 },
  ]);
});
test('rows that differ fail', () => {
  expect(() => project(sum, recorded(a, [counted({ by: 1 })])).thenRows([])).toThrow(/equal/);
});
test("a fold of an event's wrong field, or of no event of its entities, does not compile", () => {
  const table = sql`id text primary key`;
  const initial = (id: string) => ({ id });
  // @ts-expect-error: no such field in the event's data
  const wrongField = () => projection('x', { version: 1, from: [thing], table, initial, fold: { 'thing.counted': (row, { data }) => ({ id: row.id + data.per }) } }); // prettier-ignore
  // @ts-expect-error: no such event
  const wrongEvent = () => projection('x', { version: 1, from: [thing], table, initial, fold: { 'thing.lost': (row) => row } }); // prettier-ignore
  expect([wrongField, wrongEvent]).toHaveLength(2);
});
