import { z } from 'zod';
import { command } from './command';
import { event } from './event';
import { badCommandId, badEntityId } from './ids';
import { canonicalJson, isStorableTime, isTooDeep, unstorable } from './storable';
import { BehindCode, lift } from './upcast';

test.each(['created', 'Order.created', 'order..created', 'order.Created', ''])("'%s' is no event name", (name) => {
  expect(() => event(name, { data: z.object({}) })).toThrow(/dotted/);
});
test.each(['pay.order', 'Pay', 'pay_order', '-pay', ''])("'%s' is no command name", (name) => {
  expect(() => command(name, { data: z.object({}) })).toThrow(/dashed/);
});

describe('upcasts', () => {
  const shape = z.object({ total: z.number() });
  const third = event('order.created', {
    version: 3,
    data: shape,
    upcasts: {
      1: (old: { cents: number }) => ({ minor: old.cents }),
      2: (old: { minor: number }) => ({ total: old.minor }),
    },
  });

  test('old data is lifted step by step', () => {
    expect([lift(third, 1, { cents: 5 }), lift(third, 2, { minor: 5 }), lift(third, 3, { total: 5 })]).toEqual(
      Array(3).fill({ total: 5 }),
    );
  });
  test('a version newer than the code is behind-code, not poison', () => {
    expect(() => lift(third, 4, {})).toThrow(BehindCode);
  });
  test.each([0, -1, 1.5, NaN])('there is no version %d', (version) => {
    expect(() => lift(third, version, {})).toThrow(/has no version/);
  });
  test('a hole and a step too far are found when declared', () => {
    expect(() => event('a.b', { version: 3, data: shape, upcasts: { 1: () => ({}) } })).toThrow(/from version 2/);
    expect(() => event('a.b', { version: 2, data: shape, upcasts: { 1: () => ({}), 2: () => ({}) } })).toThrow(
      /beyond version 2/,
    );
    expect(() => event('a.b', { version: 0, data: shape })).toThrow(/version 0/);
  });
});

describe('what PostgreSQL can store', () => {
  test.each([
    ['a NUL', { a: 'x\u0000' }, /NUL/],
    ['a NUL in a key', { 'x\u0000': 1 }, /NUL/],
    ['a high surrogate alone', ['\ud83d'], /surrogate/],
    ['a low surrogate alone', ['\ude00'], /surrogate/],
    ['a surrogate after a backslash', ['\\\ud83d'], /surrogate/],
    ['undefined', undefined, /not JSON/],
    ['a bigint', 1n, /not JSON/],
    ['101 levels', Array.from({ length: 101 }).reduce((inner) => [inner], 1), /nested deeper/],
  ])('%s cannot be', (_what, value, reason) => {
    expect(unstorable(value)).toMatch(reason);
  });
  test.each([
    ['a pair', '😀'],
    ['the text of an escape', '\\u0000'],
    ['the text of a surrogate escape', 'C:\\ud800'],
    ['100 levels', Array.from({ length: 100 }).reduce((inner) => [inner], 1)],
    ['null', null],
  ])('%s can be', (_what, value) => {
    expect(unstorable(value)).toBeNull();
  });
  test('a value that contains itself is too deep, not endless', () => {
    const circle: unknown[] = [];
    circle.push(circle);
    expect(isTooDeep(circle)).toBe(true);
  });
});

test('canonical JSON does not depend on the order of keys', () => {
  expect(canonicalJson({ b: [{ d: 1, c: 2 }], a: null })).toBe('{"a":null,"b":[{"c":2,"d":1}]}');
});

test.each(['', 'a b', 'a/b', 'a*', 'a>', 'a\n', 'a\u0000', '\ud800', 'x'.repeat(201)])('%j is no entity id', (id) => {
  expect(badEntityId(id)).not.toBeNull();
});
test('ids of many shapes are fine', () => {
  expect(['10248', 'México', 'a.b:c@d', 'x'.repeat(200)].map(badEntityId)).toEqual([null, null, null, null]);
  expect([badCommandId('a b/c'), badCommandId('a\nb'), badCommandId('')]).toEqual([
    null,
    expect.any(String),
    expect.any(String),
  ]);
});

test.each([
  ['1996-09-31T00:00:00Z', false],
  ['1996-02-29T00:00:00Z', true],
  ['9999-12-31T23:59:59-15:59', false],
  ['9999-12-31T23:59:59.999999Z', true],
  ['0001-01-01T00:00:00+15:00', false],
  ['0001-01-01T00:00:00Z', true],
  ['1996-07-04T25:00:00Z', false],
])('%s can be stored: %s', (text, storable) => {
  expect(isStorableTime(text)).toBe(storable);
});
