import { order } from '../shop/order/entity';
import { addNote } from '../shop/order/contract';
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
test.each(['yesterday', '1996-07-04T00:00', '1996-07-04T00:00:00', '04.07.1996', '1996-13-01', '0000-01-01T00:00:00Z'])(
  'occurredAt %j does not pass: whoever stores it must not guess the zone',
  (occurredAt) => {
    expect(() => door('1', { occurredAt })).toThrow(/ISO 8601/);
  },
);
test('a time passes unchanged, to the microsecond; a day is its beginning in UTC', () => {
  const at = (occurredAt: Date | string) => door('1', { occurredAt }).occurredAt;
  expect(at('1996-07-04T01:02:03.123456+02:00')).toBe('1996-07-04T01:02:03.123456+02:00');
  expect(at('1996-07-04')).toBe('1996-07-04T00:00:00Z');
  expect(at(new Date(0))).toBe('1970-01-01T00:00:00.000Z');
});
test.each([NaN, -1, 1.5, Infinity])('expectedVersion %d does not pass', (expectedVersion) => {
  expect(() => door('1', { expectedVersion })).toThrow(/expectedVersion/);
});
