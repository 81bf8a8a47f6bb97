import fc from 'fast-check';
import type { NewEvent } from '../../contracts/event';
import { addNote, cancelOrder, createOrder, orderCreated, payOrder, reportLatePayment, shipOrder } from './contract';
import { order, type Order } from './entity';
import { isTooMuch, lineMinor, totalMinor } from './money';

const line = fc.record({
  productId: fc.constantFrom('1', '2', '3'),
  unitPriceMinor: fc.integer({ min: 0, max: 100_000 }),
  quantity: fc.integer({ min: 1, max: 200 }),
  discountPercent: fc.integer({ min: 0, max: 100 }),
});
const creating = fc
  .record({ lines: fc.array(line, { minLength: 1, maxLength: 5 }), freightMinor: fc.integer({ min: 0, max: 9_999 }) })
  .map((wish) => createOrder({ customerId: 'c', currency: 'EUR', terms: 'card', ...wish }));
const command = fc.oneof(
  creating,
  fc.constant('pay in full' as const),
  fc.integer({ min: 0, max: 9 }).map((amountMinor) => payOrder({ amountMinor })),
  fc.constant(shipOrder({ carrier: 'x' })),
  fc.constant(cancelOrder({ reason: 'x' })),
  fc.constant(cancelOrder({ reason: 'x', onlyIfUnpaid: true })),
  fc.constantFrom('a', 'b').map((paymentId) => reportLatePayment({ paymentId, amountMinor: 1 })),
  fc.constant(addNote({ text: 'x' })),
);

/** Plays commands as the engine does: the events that happened, and the state they leave. */
function play(commands: readonly (typeof command extends fc.Arbitrary<infer C> ? C : never)[]) {
  let state: Order = order.initial;
  const events: NewEvent[] = [];
  for (const wanted of commands) {
    const due = state.status === 'new' ? 0 : state.dueMinor;
    const { name, data } = wanted === 'pay in full' ? payOrder({ amountMinor: due }) : wanted;
    const decision = order.decide(state, name, data);
    if ('kind' in decision) continue;
    for (const event of decision) state = order.evolve(state, event) as Order;
    events.push(...decision);
  }
  return { state, events };
}

const histories = fc.array(command, { maxLength: 30 }).map(play);
const types = ({ events }: { events: readonly NewEvent[] }) => events.map(({ type }) => type);

test('the state is the fold of the events, whatever was asked', () => {
  fc.assert(
    fc.property(histories, ({ state, events }) => {
      expect(events.reduce<unknown>((folded, event) => order.evolve(folded, event), order.initial)).toEqual(state);
    }),
  );
});
test('an order is created first and once, paid at most once, shipped only after it was paid, never shipped and cancelled', () => {
  fc.assert(
    fc.property(histories, (history) => {
      const happened = types(history);
      const count = (type: string) => happened.filter((one) => one === type).length;
      if (happened.length > 0) expect(happened[0]).toBe('order.created');
      for (const type of ['order.created', 'order.paid', 'order.shipped', 'order.cancelled'])
        expect(count(type)).toBeLessThanOrEqual(1);
      if (count('order.shipped'))
        expect(happened.indexOf('order.paid')).toBeLessThan(happened.indexOf('order.shipped'));
      if (count('order.shipped')) expect(count('order.paid')).toBe(1);
      expect(count('order.shipped') + count('order.cancelled')).toBeLessThanOrEqual(1);
    }),
  );
});
test('a line is rounded half up, as exact decimal arithmetic would', () => {
  fc.assert(
    fc.property(line, (one) => {
      const exact = one.unitPriceMinor * one.quantity * (100 - one.discountPercent);
      expect(lineMinor(one)).toBe(Math.floor(exact / 100) + (exact % 100 >= 50 ? 1 : 0));
    }),
  );
  expect(lineMinor({ unitPriceMinor: 1, quantity: 1, discountPercent: 50 })).toBe(1);
  expect(totalMinor([])).toBe(0);
});
test('the total of a created order is the sum of its lines, and what is due is that and its freight', () => {
  fc.assert(
    fc.property(creating, ({ data }) => {
      const { state, events } = play([createOrder(data)]);
      const created = orderCreated.schema.parse(events[0]?.data);
      const sum = created.lines.reduce((total, { lineMinor: minor }) => total + minor, 0);
      expect(created.totalMinor).toBe(sum);
      expect(state).toMatchObject({ status: 'created', dueMinor: sum + created.freightMinor });
    }),
  );
});
test('what is too much to be counted exactly is said to be, never rounded and never thrown', () => {
  const enormous = { unitPriceMinor: 10 ** 12, quantity: 10 ** 6, discountPercent: 0 };
  expect([lineMinor(enormous), totalMinor([enormous]), totalMinor([enormous, enormous])].map(isTooMuch)).toEqual([
    true,
    true,
    true,
  ]);
  const most = { unitPriceMinor: Number.MAX_SAFE_INTEGER, quantity: 1, discountPercent: 0 };
  expect([totalMinor([most]), isTooMuch(totalMinor([most]))]).toEqual([Number.MAX_SAFE_INTEGER, false]);
  expect(isTooMuch(totalMinor([most, { unitPriceMinor: 1, quantity: 1, discountPercent: 0 }]))).toBe(true);
});
