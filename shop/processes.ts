import { ApplicationFailure } from '@temporalio/workflow';
import type { EventData } from '../contracts/event';
import type { ReactionAnswer } from '../model/reaction';
import { openProcess, type ProcessInput } from '../workflows/process';
import { cancelOrder, type orderCreated, type orderPaymentLate } from './order/contract';
import { refundPayment } from './payment/contract';
import type { ShopSettings } from './ports';

/** Cancels a card order that is not paid in time, and gives back the money of one that was cancelled before it came. */
export async function unpaidOrder(input: ProcessInput<ShopSettings>): Promise<string> {
  const { taken, step, send } = openProcess(input);
  const { event, settings } = input;
  const { currency } = event.data as EventData<typeof orderCreated>;

  const ended = await taken(['order.paid', 'order.cancelled'], { withinMs: settings.unpaidOrderMs });
  if (ended?.type === 'order.paid') return 'paid';
  if (!ended) {
    const cancelling = cancelOrder({ reason: 'not paid in time', onlyIfUnpaid: true });
    if (wasPaid(await send('order', event.entityId, cancelling))) return 'paid';
  }

  const late = await taken(['order.payment-late'], { withinMs: settings.latePaymentMs });
  if (!late) return 'cancelled';
  const { paymentId, amountMinor } = late.data as EventData<typeof orderPaymentLate>;
  await step('refund', { paymentId, amountMinor, currency });
  const refunded = await send('payment', paymentId, refundPayment({ amountMinor }));
  if (refunded.outcome === 'refused') {
    throw ApplicationFailure.nonRetryable(`${paymentId} was given back, but its payment says ${refunded.code}`);
  }
  return 'refunded';
}

// Refused because somebody cancelled it first is as good as cancelled.
const wasPaid = (answer: ReactionAnswer): boolean => answer.outcome === 'refused' && answer.code !== 'order.cancelled';
