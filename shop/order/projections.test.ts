import { project, recorded } from '../../testing/projection-spec';
import { assertCommutes } from '../../testing/commute';
import { event } from '../../contracts/event';
import { entity } from '../../model/entity';
import { projection, sql } from '../../model/projection';
import { z } from 'zod';
import { orderCancelled, orderCreated, orderNoteAdded, orderPaid, orderPaymentLate, orderShipped } from './contract';
import { orderSummary } from './projections';

const created = orderCreated({
  customerId: 'VINET',
  currency: 'EUR',
  terms: 'account',
  lines: [
    { productId: '11', unitPriceMinor: 1_400, quantity: 12, discountPercent: 0, lineMinor: 16_800 },
    { productId: '42', unitPriceMinor: 980, quantity: 10, discountPercent: 0, lineMinor: 9_800 },
  ],
  totalMinor: 26_600,
  freightMinor: 3_238,
});
const ofOrder = { entityType: 'order', entityId: '10248' };
const row = {
  orderId: '10248',
  customerId: 'VINET',
  status: 'created',
  currency: 'EUR',
  totalMinor: 26_600,
  freightMinor: 3_238,
  lines: 2,
  units: 22,
  createdAt: '2026-01-01T00:01:00.000Z',
  paidAt: null,
  shippedAt: null,
  cancelledAt: null,
  version: 1,
};

test.each([1, 3])('an order is summarized, each event delivered %i times', (deliveries) => {
  const history = [
    created,
    orderPaid({ amountMinor: 29_838 }),
    orderNoteAdded({ text: 'x' }),
    orderShipped({ carrier: 'DHL' }),
  ];
  project(orderSummary, recorded(ofOrder, history), { deliveries }).thenRows([
    {
      ...row,
      status: 'shipped',
      paidAt: '2026-01-01T00:02:00.000Z',
      shippedAt: '2026-01-01T00:04:00.000Z',
      version: 4,
    },
  ]);
});
test('a cancelled order says when', () => {
  project(orderSummary, recorded(ofOrder, [created, orderCancelled({ reason: 'x' })])).thenRows([
    { ...row, status: 'cancelled', cancelledAt: '2026-01-01T00:02:00.000Z', version: 2 },
  ]);
});
test('an order whose payment came late stays cancelled', () => {
  const late = orderPaymentLate({ paymentId: 'pay-1', amountMinor: 29_838 });
  project(orderSummary, recorded(ofOrder, [created, orderCancelled({ reason: 'x' }), late])).thenRows([
    { ...row, status: 'cancelled', cancelledAt: '2026-01-01T00:02:00.000Z', version: 3 },
  ]);
});

describe('a row fed by several entities', () => {
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
  const of = (fold: (total: number, by: number) => number) =>
    projection('totals', {
      version: 1,
      from: [thing],
      table: sql`name text primary key, total bigint not null`,
      key: () => 'all',
      initial: (name) => ({ name, total: 1 }),
      fold: { 'thing.counted': (total, { data }) => ({ ...total, total: fold(total.total, data.by) }) },
    });
  const histories = ['a', 'b', 'c'].map((entityId, n) =>
    recorded({ entityType: 'thing', entityId }, [counted({ by: n + 2 }), counted({ by: n + 5 })]),
  );

  test('a fold that adds commutes', () => {
    assertCommutes(
      of((total, by) => total + by),
      histories,
    );
  });
  test('a fold that depends on the order is found', () => {
    expect(() =>
      assertCommutes(
        of((total, by) => total * 2 + by),
        histories,
      ),
    ).toThrow(/totals depends on the order/);
  });
});
