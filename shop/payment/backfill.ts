import { z } from 'zod';
import { backfill, ndjson } from '../../model/backfill';
import { paymentCaptured, paymentFailed, paymentRefunded } from './contract';
import { payment } from './entity';

const row = z.strictObject({
  /** Of the line, in the old system. */
  entry: z.int(),
  payment: z.string().min(1),
  what: z.enum(['captured', 'refunded', 'declined']),
  customer: z.string(),
  cents: z.int(),
  at: z.iso.datetime({ offset: true }),
  why: z.string().optional(),
});

/** The old system's journal of payments as events: they have happened, and there is nothing to decide. */
export const paymentHistory = backfill('payment-history', {
  source: ndjson(),
  row,
  id: ({ entry }) => String(entry),
  map: (said) => [{ entity: payment, id: `old-${said.payment}`, occurredAt: said.at, events: [toEvent(said)] }],
});

function toEvent({ what, customer: userId, cents: amountMinor, why = 'declined' }: z.infer<typeof row>) {
  const said = { userId, amountMinor, currency: 'USD' };
  if (what === 'captured') return paymentCaptured(said);
  return what === 'refunded' ? paymentRefunded(said) : paymentFailed({ ...said, reason: why });
}
