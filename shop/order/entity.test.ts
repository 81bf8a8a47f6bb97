import { given } from '../../testing/entity-spec';
import {
  addNote,
  cancelOrder,
  createOrder,
  orderCancelled,
  orderCreated,
  orderNoteAdded,
  orderPaid,
  orderPaymentLate,
  orderShipped,
  payOrder,
  reportLatePayment,
  shipOrder,
} from './contract';
import { order } from './entity';

const line = { productId: '11', unitPriceMinor: 1_400, quantity: 12, discountPercent: 0 };
const wish = { customerId: 'VINET', currency: 'EUR', terms: 'account', lines: [line], freightMinor: 3_238 } as const;
const created = orderCreated({ ...wish, lines: [{ ...line, lineMinor: 16_800 }], totalMinor: 16_800 });
const paid = orderPaid({ amountMinor: 20_038 });
const shipped = orderShipped({ carrier: 'DHL' });
const cancelled = orderCancelled({ reason: 'changed my mind' });

test('an order is created with its lines priced and its total summed', () => {
  given(order, [])
    .when(createOrder({ ...wish, lines: [line] }))
    .thenEvents([created])
    .thenState({ status: 'created', customerId: 'VINET', dueMinor: 20_038, notes: 0 });
});
test('freight is free unless said', () => {
  given(order, [])
    .when(createOrder({ customerId: 'VINET', currency: 'EUR', terms: 'card', lines: [line] }))
    .thenState({ status: 'created', customerId: 'VINET', dueMinor: 16_800, notes: 0 });
});
test('an order is created once', () => {
  given(order, [created])
    .when(createOrder({ ...wish, lines: [line] }))
    .thenRefused('order.already_created');
});
test('an order whose total cannot be counted exactly is refused, never rounded', () => {
  const huge = { productId: '1', unitPriceMinor: 1_000_000_000, quantity: 1_000_000, discountPercent: 0 };
  given(order, [])
    .when(createOrder({ ...wish, lines: Array(10).fill(huge) }))
    .thenRefused('order.too_large');
});
test('an order is paid in full, total and freight', () => {
  given(order, [created])
    .when(payOrder({ amountMinor: 16_800 }))
    .thenRefused('order.wrong_amount');
  given(order, [created])
    .when(payOrder({ amountMinor: 20_038 }))
    .thenEvents([paid]);
});
test('an order is paid once', () => {
  given(order, [created, paid])
    .when(payOrder({ amountMinor: 20_038 }))
    .thenRefused('order.already_paid');
});
test('an order paid by card says by which payment, and whose', () => {
  given(order, [created])
    .when(payOrder({ amountMinor: 20_038, card: { paymentId: 'pay-1', currency: 'EUR' } }))
    .thenEvents([
      orderPaid({ amountMinor: 20_038, card: { paymentId: 'pay-1', currency: 'EUR', customerId: 'VINET' } }),
    ]);
});
test('an order that was never paid is not shipped', () => {
  given(order, [created])
    .when(shipOrder({ carrier: 'DHL' }))
    .thenRefused('order.not_paid');
});
test('a paid order is shipped once', () => {
  given(order, [created, paid])
    .when(shipOrder({ carrier: 'DHL' }))
    .thenEvents([shipped]);
  given(order, [created, paid, shipped])
    .when(shipOrder({ carrier: 'UPS' }))
    .thenRefused('order.already_shipped');
});
test('a shipped order is not cancelled', () => {
  given(order, [created, paid, shipped])
    .when(cancelOrder({ reason: 'late' }))
    .thenRefused('order.already_shipped');
});
test('an order is cancelled once, and neither paid nor shipped after', () => {
  given(order, [created])
    .when(cancelOrder({ reason: 'changed my mind' }))
    .thenEvents([cancelled]);
  given(order, [created, cancelled])
    .when(cancelOrder({ reason: 'again' }))
    .thenRefused('order.cancelled');
  given(order, [created, cancelled])
    .when(payOrder({ amountMinor: 20_038 }))
    .thenRefused('order.cancelled');
  given(order, [created, cancelled])
    .when(shipOrder({ carrier: 'DHL' }))
    .thenRefused('order.cancelled');
});
test('an order cancelled because nobody paid is not cancelled once it is paid', () => {
  const unpaid = cancelOrder({ reason: 'not paid in time', onlyIfUnpaid: true });
  given(order, [created])
    .when(unpaid)
    .thenEvents([orderCancelled({ reason: 'not paid in time' })]);
  given(order, [created, paid]).when(unpaid).thenRefused('order.already_paid');
  given(order, [created, paid, shipped]).when(unpaid).thenRefused('order.already_shipped');
  given(order, [created, paid])
    .when(cancelOrder({ reason: 'changed my mind' }))
    .thenEvents([cancelled]);
});
test('a payment that comes after an order was cancelled is told once', () => {
  const late = (paymentId: string) => ({ paymentId, amountMinor: 20_038 });
  const told = [created, cancelled, orderPaymentLate(late('pay-1'))];
  given(order, [created, cancelled])
    .when(reportLatePayment(late('pay-1')))
    .thenEvents([orderPaymentLate(late('pay-1'))]);
  given(order, told)
    .when(reportLatePayment(late('pay-1')))
    .thenEvents([]);
  given(order, told)
    .when(reportLatePayment(late('pay-2')))
    .thenEvents([orderPaymentLate(late('pay-2'))])
    .thenState({
      status: 'cancelled',
      customerId: 'VINET',
      dueMinor: 20_038,
      notes: 0,
      reason: 'changed my mind',
      late: ['pay-1', 'pay-2'],
    });
  for (const history of [[created], [created, paid], [created, paid, shipped]]) {
    given(order, history)
      .when(reportLatePayment(late('pay-1')))
      .thenRefused('order.not_cancelled');
  }
});
test('nothing happens to an order that was never created', () => {
  for (const command of [
    payOrder({ amountMinor: 1 }),
    shipOrder({ carrier: 'x' }),
    cancelOrder({ reason: 'x' }),
    reportLatePayment({ paymentId: 'x', amountMinor: 1 }),
    addNote({ text: 'x' }),
  ]) {
    given(order, []).when(command).thenRefused('order.not_created');
  }
});
test('notes are added at any time and only counted', () => {
  given(order, [created, orderNoteAdded({ text: 'a' })])
    .when(addNote({ text: 'b' }))
    .thenEvents([orderNoteAdded({ text: 'b' })])
    .thenState({ status: 'created', customerId: 'VINET', dueMinor: 20_038, notes: 2 });
});
test('a shipped and a cancelled order are final, an open one is not', () => {
  const fold = (events: Parameters<typeof given<typeof order>>[1]) =>
    events.reduce<unknown>((state, event) => order.evolve(state, event), order.initial);
  expect(
    [
      [created, paid, shipped],
      [created, cancelled],
      [created, paid],
    ].map((events) => order.isFinal(fold(events))),
  ).toEqual([true, true, false]);
});
test('the kit tells what went wrong', () => {
  expect(() =>
    given(order, [created])
      .when(shipOrder({ carrier: 'x' }))
      .thenEvents([]),
  ).toThrow(/order\.not_paid/);
  expect(() =>
    given(order, [created])
      .when(addNote({ text: 'x' }))
      .thenRefused('order.not_paid'),
  ).toThrow(/order\.note-added/);
});
test('a wrong field, and a refusal that is not in the list, do not compile', () => {
  // @ts-expect-error: a misspelt field
  const misspelt = shipOrder({ carier: 'DHL' });
  expect(() => given(order, []).when(misspelt)).toThrow();
  const then = given(order, []).when(shipOrder({ carrier: 'DHL' }));
  // @ts-expect-error: no such refusal
  expect(() => then.thenRefused('order.nonsense')).toThrow();
});
