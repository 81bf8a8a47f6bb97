import { order } from '../shop/order/entity';
import { addNote, payOrder } from '../shop/order/contract';
import { toMessage, type PostOptions } from './door';
import { InvalidCommand } from './send-result';

const note = addNote({ text: 'x' });
const door = (id: string, options: PostOptions = {}) => toMessage(order, id, note, options);

test.each(['', 'a/b', 'a*', 'a>b', 'a\nb', 'half\ud800', 'x'.repeat(201), '字'.repeat(67)])(
  'entity id %j does not pass',
  (id) => {
    expect(() => door(id)).toThrow(InvalidCommand);
  },
);
test('an id is bounded in bytes, as what it becomes part of is', () => {
  expect(door('字'.repeat(66)).entityId).toHaveLength(66);
});
test.each([
  'yesterday',
  '1996-07-04T00:00',
  '1996-07-04T00:00:00',
  '04.07.1996',
  '1996-13-01',
  '0000-01-01T00:00:00Z',
  '2026-02-30',
  '2026-02-29T10:00:00+01:00',
  '2026-01-01T00:00:00+20:00',
  '9999-12-31T23:59:59-15:59',
  '0001-01-01T00:00:00+15:00',
])('occurredAt %j does not pass: whoever stores it must not guess the zone', (occurredAt) => {
  expect(() => door('1', { occurredAt })).toThrow(/ISO 8601/);
});
test('a time passes unchanged, to the microsecond; a day is its beginning in UTC', () => {
  const at = (occurredAt: Date | string) => door('1', { occurredAt }).occurredAt;
  expect(at('1996-07-04T01:02:03.123456+02:00')).toBe('1996-07-04T01:02:03.123456+02:00');
  expect(at('1996-07-04')).toBe('1996-07-04T00:00:00Z');
  expect(at(new Date(0))).toBe('1970-01-01T00:00:00.000Z');
});
test.each([NaN, -1, 1.5, Infinity])('expectedVersion %d does not pass', (expectedVersion) => {
  expect(() => door('1', { expectedVersion })).toThrow(/expectedVersion/);
});

test.each([new Date(NaN), new Date(8.64e15), new Date(-8.64e15)])(
  'a Date that no calendar has does not pass',
  (occurredAt) => {
    expect(() => door('1', { occurredAt })).toThrow(/ISO 8601/);
  },
);
// What callers without types send.
test.each<[string, unknown]>([
  ['no options', null],
  ['a command id of null', { commandId: null }],
  ['a command id that is a number', { commandId: 7 }],
  ['a command id of 201 bytes', { commandId: 'x'.repeat(201) }],
  ['meta that is text', { meta: 'x' }],
  ['meta that is a list', { meta: [] }],
  ['meta that is null', { meta: null }],
  ['meta with an unknown field', { meta: { actr: 'me' } }],
  ['meta with a number', { meta: { actor: 1 } }],
  ['meta with a NUL', { meta: { actor: '\u0000' } }],
  ['meta of 2 MB', { meta: { actor: 'x'.repeat(2_000_000) } }],
])('%s: does not pass', (_what, options) => {
  expect(() => door('1', options as PostOptions)).toThrow(InvalidCommand);
});
test.each<[string, unknown]>([
  ['null', null],
  ['a list', []],
  ['an object that is none', {}],
  ['of version 0', { ...note, version: 0 }],
  ['of no version', { ...note, version: NaN }],
  ['of a version in text', { ...note, version: '1' }],
  ['of a version to come', { ...note, version: 9 }],
  ['named __proto__', { ...note, name: '__proto__' }],
  ['with a field __proto__', { ...note, data: JSON.parse('{"text":"x","__proto__":{}}') as unknown }],
  ['without data', { ...note, data: undefined }],
  ['with a bigint', { ...note, data: { text: 1n } }],
])('a command %s: does not pass', (_what, command) => {
  expect(() => toMessage(order, '1', command as never, {})).toThrow(InvalidCommand);
});
test.each([-1, 0.5, 2 ** 53, 1e21, NaN, Infinity])('an amount of %d is refused, never rounded', (amountMinor) => {
  expect(() => toMessage(order, '1', payOrder({ amountMinor }), {})).toThrow(/amountMinor/);
});
