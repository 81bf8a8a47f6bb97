import { z } from 'zod';
import { command } from '../../contracts/command';
import { event } from '../../contracts/event';

const OWNER = 'orders';

/** Whole minor units (cents): 0 to 2^53 - 1, never rounded. */
const minor = z.int().min(0);
const id = z.string().min(1).max(100);
const currency = z.string().regex(/^[A-Z]{3}$/, 'an ISO 4217 code like USD');
/** `account`: paid by invoice, recorded in the book. `card`: captured through the payment provider. */
const terms = z.enum(['account', 'card']);

/** The payment that was captured for it, at the provider and in our log. */
const card = z.strictObject({ paymentId: id, currency });

const line = z.strictObject({
  productId: id,
  unitPriceMinor: minor.max(1_000_000_000),
  quantity: z.int().min(1).max(1_000_000),
  discountPercent: z.int().min(0).max(100),
});

export const orderCreated = event('order.created', {
  data: z.strictObject({
    customerId: id,
    currency,
    terms,
    lines: z
      .array(line.extend({ lineMinor: minor }))
      .min(1)
      .max(500),
    totalMinor: minor,
    freightMinor: minor,
  }),
  owner: OWNER,
  description: 'A customer committed to buy.',
});
export const orderPaid = event('order.paid', {
  // Left out when paid on account, and by events from before there were cards. Not a new version: what reads either
  // shape today reads both, and an upcast would have to invent who paid how.
  data: z.strictObject({ amountMinor: minor, card: card.extend({ customerId: id }).optional() }),
  owner: OWNER,
  description: 'The order was paid, once and in full: its total and its freight.',
});
export const orderShipped = event('order.shipped', {
  data: z.strictObject({ carrier: z.string().min(1).max(100) }),
  owner: OWNER,
  description: 'The goods left.',
});
export const orderCancelled = event('order.cancelled', {
  data: z.strictObject({ reason: z.string().min(1).max(1_000) }),
  owner: OWNER,
  description: 'The order will not be carried out.',
});
export const orderPaymentLate = event('order.payment-late', {
  data: z.strictObject({ paymentId: id, amountMinor: minor }),
  owner: OWNER,
  description: 'A payment was captured for an order that had been cancelled: it is to be given back.',
});
export const orderNoteAdded = event('order.note-added', {
  data: z.strictObject({ text: z.string().min(1).max(10_000) }),
  visibility: 'private',
  owner: OWNER,
  description: 'Somebody wrote something down. Stays inside: no sink carries it.',
});

export const createOrder = command('create-order', {
  data: z.strictObject({
    customerId: id,
    currency,
    terms,
    lines: z.array(line).min(1).max(500),
    freightMinor: minor.default(0),
  }),
  owner: OWNER,
});
export const payOrder = command('pay-order', {
  data: z.strictObject({ amountMinor: minor, card: card.optional() }),
  owner: OWNER,
});
export const shipOrder = command('ship-order', {
  data: z.strictObject({ carrier: z.string().min(1).max(100) }),
  owner: OWNER,
});
export const cancelOrder = command('cancel-order', {
  /** `onlyIfUnpaid`: for who cancels because nobody paid, and must not be overtaken by a payment. */
  data: z.strictObject({ reason: z.string().min(1).max(1_000), onlyIfUnpaid: z.boolean().optional() }),
  owner: OWNER,
});
export const reportLatePayment = command('report-late-payment', {
  data: z.strictObject({ paymentId: id, amountMinor: minor }),
  owner: OWNER,
});
export const addNote = command('add-note', {
  data: z.strictObject({ text: z.string().min(1).max(10_000) }),
  owner: OWNER,
});
