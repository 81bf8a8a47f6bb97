import { z } from 'zod';
import { command } from '../../contracts/command';
import { event } from '../../contracts/event';

const OWNER = 'payments';

/** Whole minor units (cents): 1 to 2^53 - 1, never rounded. */
const minor = z.int().min(1);
const id = z.string().min(1).max(100);
const currency = z.string().regex(/^[A-Z]{3}$/, 'an ISO 4217 code like USD');

const attempted = z.strictObject({ userId: id, orderId: id.optional(), amountMinor: minor, currency });
const reason = z.string().min(1).max(1_000);

export const paymentCaptured = event('payment.captured', {
  data: attempted,
  owner: OWNER,
  description: 'Money of a user was taken.',
});
export const paymentRefunded = event('payment.refunded', {
  data: z.strictObject({ userId: id, amountMinor: minor, currency }),
  owner: OWNER,
  description: 'Some or all of it was given back.',
});
export const paymentFailed = event('payment.failed', {
  data: attempted.extend({ reason }),
  owner: OWNER,
  description: 'The money could not be taken.',
});

export const capturePayment = command('capture-payment', { data: attempted, owner: OWNER });
export const refundPayment = command('refund-payment', { data: z.strictObject({ amountMinor: minor }), owner: OWNER });
export const failPayment = command('fail-payment', { data: attempted.extend({ reason }), owner: OWNER });
