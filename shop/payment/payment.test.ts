import fc from 'fast-check';
import { assertCommutes } from '../../testing/commute';
import { given } from '../../testing/entity-spec';
import { project, recorded } from '../../testing/projection-spec';
import {
  capturePayment,
  failPayment,
  paymentCaptured,
  paymentFailed,
  paymentRefunded,
  refundPayment,
} from './contract';
import { payment } from './entity';
import { userBalance } from './projections';

const taken = { userId: 'VINET', amountMinor: 1_000, currency: 'EUR' };
const failed = { ...taken, reason: 'no cover' };
const refunded = (amountMinor: number) => paymentRefunded({ userId: 'VINET', amountMinor, currency: 'EUR' });

test('a payment is captured once', () => {
  given(payment, [])
    .when(capturePayment(taken))
    .thenEvents([paymentCaptured(taken)]);
  given(payment, [paymentCaptured(taken)])
    .when(capturePayment(taken))
    .thenRefused('payment.already_taken');
  given(payment, [paymentFailed(failed)])
    .when(capturePayment(taken))
    .thenRefused('payment.already_taken');
});

test('no more is refunded than was captured', () => {
  const before = [paymentCaptured(taken), refunded(600)];
  given(payment, before)
    .when(refundPayment({ amountMinor: 400 }))
    .thenEvents([refunded(400)]);
  given(payment, before)
    .when(refundPayment({ amountMinor: 401 }))
    .thenRefused('payment.refund_too_large');
});

test('what failed, or never was, is not refunded', () => {
  given(payment, [])
    .when(refundPayment({ amountMinor: 1 }))
    .thenRefused('payment.not_captured');
  given(payment, [paymentFailed(failed)])
    .when(refundPayment({ amountMinor: 1 }))
    .thenRefused('payment.not_captured');
  given(payment, [paymentCaptured(taken)])
    .when(failPayment(failed))
    .thenRefused('payment.already_taken');
});

const history = (entityId: string, amounts: readonly number[], userId: string) =>
  recorded(
    { entityType: 'payment', entityId },
    amounts.map((amountMinor, nth) =>
      nth === 0
        ? paymentCaptured({ userId, amountMinor, currency: 'EUR' })
        : paymentRefunded({ userId, amountMinor, currency: 'EUR' }),
    ),
  );

test('a balance is what was captured minus what was refunded', () => {
  const events = [...history('p1', [1_000, 300], 'VINET'), ...history('p2', [50], 'VINET')];
  expect([...project(userBalance, events).rows.values()]).toMatchObject([
    { userId: 'VINET', currency: 'EUR', capturedMinor: 1_050, refundedMinor: 300, balanceMinor: 750, payments: 2 },
  ]);
});

test('a balance too large to be counted exactly is refused, never rounded', () => {
  const most = history('p1', [Number.MAX_SAFE_INTEGER], 'VINET');
  expect([...project(userBalance, most).rows.values()]).toMatchObject([{ balanceMinor: 9_007_199_254_740_991 }]);
  expect(() => project(userBalance, [...most, ...history('p2', [1], 'VINET')])).toThrow(/cannot be counted exactly/);
});

test('the last activity is the latest, also by half a second', () => {
  const at = (entityId: string, time: string) =>
    recorded({ entityType: 'payment', entityId }, [paymentCaptured(taken)], time);
  const events = [...at('p1', '2026-01-01T00:00:00.5Z'), ...at('p2', '2026-01-01T00:00:00Z')];
  expect([...project(userBalance, events).rows.values()]).toMatchObject([{ lastActivity: '2026-01-01T00:00:00.5Z' }]);
});

test('property: a balance does not depend on the order among payments', () => {
  const amounts = fc.array(fc.integer({ min: 1, max: 1e9 }), { minLength: 1, maxLength: 4 });
  const user = fc.constantFrom('ALFKI', 'VINET');
  fc.assert(
    fc.property(fc.array(fc.tuple(amounts, user), { minLength: 2, maxLength: 4 }), (payments) => {
      assertCommutes(
        userBalance,
        payments.map(([each, userId], nth) => history(`p${nth}`, each, userId)),
      );
    }),
    { numRuns: 20 },
  );
});
