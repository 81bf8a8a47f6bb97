import { orderSummary } from '../../shop/order/projections';
import { model } from '../../shop/model';
import { parseSelection, selectionFor } from './selection';

const userBalance = model.projection('user_balance');

test('nothing said is the whole log', () => {
  expect(parseSelection({})).toBeNull();
  expect(parseSelection({ entityType: [], entity: [] })).toBeNull();
});

test('entities by name, a time, a position, a type', () => {
  expect(parseSelection({ entity: ['order/10248', 'order/a/b'] })).toEqual({ entities: ['order/10248', 'order/a/b'] });
  expect(parseSelection({ since: '2026-07-01' })).toEqual({ since: '2026-07-01' });
  expect(parseSelection({ since: '2026-07-01T12:00:00.5+02:00', entityType: ['order', 'order'] })).toEqual({
    since: '2026-07-01T12:00:00.5+02:00',
    entityTypes: ['order'],
  });
  expect(parseSelection({ since: '3:120,14:7' })).toEqual({ sinceOffsets: { 3: 120, 14: 7 } });
});

test.each([
  [{ entity: ['order'] }, /--entity order: not an entity/],
  [{ entity: ['/10248'] }, /not an entity/],
  [{ entity: ['order/1'], since: '2026-07-01' }, /--entity and --since exclude each other/],
  [{ entity: ['order/1'], entityType: ['order'], since: '1:1' }, /--since and --entity-type exclude/],
  [{ entity: Array.from({ length: 1_001 }, (_, n) => `order/${n}`) }, /1001 entities are named, at most 1000/],
  [{ since: 'yesterday' }, /neither a time nor a position/],
  [{ since: '2026-07-01T12:00:00' }, /neither a time/], // whose noon?
  [{ since: '2026-13-01' }, /neither a time/],
  [{ since: '3:' }, /neither a time/],
])('refused: %j', (flags, why) => {
  expect(() => parseSelection(flags)).toThrow(why);
});

test('all that a projection folds is the whole log; what it does not fold is refused, and so is a part of shared rows', () => {
  if (!userBalance) throw new Error('the shop has user_balance');
  expect(selectionFor(orderSummary, null)).toBeNull();
  expect(selectionFor(orderSummary, { entityTypes: ['order'] })).toBeNull();
  expect(selectionFor(orderSummary, { entityTypes: ['order'], since: '2026-07-01' })).not.toBeNull();
  expect(selectionFor(userBalance, { entityTypes: [...userBalance.from] })).toBeNull();
  expect(() => selectionFor(orderSummary, { entities: ['payment/1'] })).toThrow(
    /order_summary is folded from order: no payment has a row in it/,
  );
  expect(() => selectionFor(userBalance, { entities: [`${userBalance.from[0]}/1`] })).toThrow(
    /fed by several entities.*replay user_balance as a whole/,
  );
});
