import type { EventData } from '../../contracts/event';
import { GiveUp, reaction, type ReactionAnswer, type ReactionContext } from '../../model/reaction';
import { capturePayment, failPayment, refundPayment } from '../payment/contract';
import type { Money, ShopPorts } from '../ports';
import { orderCancelled, orderCreated, orderPaid, orderPaymentLate, payOrder, reportLatePayment } from './contract';

type Context = ReactionContext & ShopPorts;
type Created = EventData<typeof orderCreated>;

/** Orders on account are paid in the book: no provider, no deadline, no receipt. */
const isByCard = ({ data }: { readonly data: Created }): boolean => data.terms === 'card';
const dueMinor = ({ totalMinor, freightMinor }: Created): number => totalMinor + freightMinor;
const paymentIdOf = (orderId: string): string => `pay-${orderId}`;

/** Takes the money of a card order, records it, and pays the order with it; gives it back if the order is paid already. */
export const capturePaymentOfOrder = reaction('capture-payment', {
  on: [orderCreated],
  when: isByCard,
  idempotency: 'key',
  handle: async ({ entityId: orderId, data }, context: Context) => {
    const { idempotencyKey, signal, send, payments } = context;
    const { customerId, currency } = data;
    const paymentId = paymentIdOf(orderId);
    const amountMinor = dueMinor(data);
    if (amountMinor === 0) return accepted(await send('order', orderId, payOrder({ amountMinor })));

    const money = { idempotencyKey, paymentId, amountMinor, currency };
    const answer = await payments.capture({ ...money, customerId }, { signal });
    const attempted = { userId: customerId, orderId, amountMinor, currency };
    if (answer.outcome === 'declined') {
      // Its deadline cancels the order.
      return accepted(await send('payment', paymentId, failPayment({ ...attempted, reason: answer.reason })));
    }
    accepted(await send('payment', paymentId, capturePayment(attempted)));
    const paid = await send('order', orderId, payOrder({ amountMinor, card: { paymentId, currency } }));
    if (isRefused(paid, 'order.cancelled')) {
      return accepted(await send('order', orderId, reportLatePayment({ paymentId, amountMinor })));
    }
    if (isRefused(paid, 'order.already_paid')) return giveBack(money, context);
    accepted(paid);
  },
});

/** Another payment was first. */
async function giveBack(money: Money, { payments, send, signal }: Context): Promise<void> {
  const { paymentId, amountMinor } = money;
  await refund({ ...money, idempotencyKey: `${money.idempotencyKey}/refund` }, { payments, signal });
  accepted(await send('payment', paymentId, refundPayment({ amountMinor })));
}

async function refund(money: Money, { payments, signal }: Pick<Context, 'payments' | 'signal'>): Promise<void> {
  const answer = await payments.refund(money, { signal });
  if (answer.outcome === 'declined') throw new GiveUp(`${money.paymentId} is not refunded: ${answer.reason}`);
}

/** What the process `unpaidOrder` waits, and whose money it gives back. See shop/processes.ts. */
export const cancelUnpaidOrder = reaction('unpaid-order', {
  on: [orderCreated],
  when: isByCard,
  idempotency: 'key',
  process: 'unpaidOrder',
  takes: [orderPaid, orderCancelled, orderPaymentLate],
  settings: ({ settings }: ShopPorts) => settings,
  steps: {
    refund: (money: Omit<Money, 'idempotencyKey'>, { idempotencyKey, payments, signal }: Context) =>
      refund({ ...money, idempotencyKey }, { payments, signal }),
  },
});

/** Mails a receipt for what was paid by card. Its Message-ID comes from the key: a repeat is recognised where it arrives. */
export const sendReceipt = reaction('send-receipt', {
  on: [orderPaid],
  when: ({ data }) => data.card !== undefined,
  idempotency: 'key',
  handle: async ({ entityId: orderId, data: { amountMinor, card } }, { idempotencyKey, signal, mail }: Context) => {
    if (!card) return;
    await mail.send(
      {
        idempotencyKey,
        to: addressOf(card.customerId),
        subject: `Your receipt for order ${orderId}`,
        text: `We have received ${decimal(amountMinor)} ${card.currency} for order ${orderId}. Thank you.\n`,
      },
      { signal },
    );
  },
});

// No event carries an address; example.com is reserved (RFC 2606), so that nothing ever arrives there.
const LOCAL_PART_CHARS_MAX = 64;
const addressOf = (customerId: string): string =>
  `${customerId.replace(/[^A-Za-z0-9-]/g, '-').slice(0, LOCAL_PART_CHARS_MAX)}@example.com`;

const decimal = (minor: number): string => `${Math.trunc(minor / 100)}.${String(minor % 100).padStart(2, '0')}`;

const isRefused = (answer: ReactionAnswer, code: string): boolean =>
  answer.outcome === 'refused' && answer.code === code;

/** For what no order of things explains: somebody must look. */
function accepted(answer: ReactionAnswer): void {
  if (answer.outcome === 'refused') throw new GiveUp(`refused with ${answer.code}`);
}
