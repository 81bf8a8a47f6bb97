import { entity } from '../../model/entity';
import { refuse } from '../../model/refusal';
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
import { isTooMuch, lineMinor, totalMinor } from './money';
import { refusals } from './refusals';

/** What every order that exists knows. Notes are only counted: a busy order's state stays small. */
interface Existing {
  readonly customerId: string;
  readonly dueMinor: number;
  readonly notes: number;
}

export type Order =
  | { readonly status: 'new' }
  | (Existing & { readonly status: 'created' })
  | (Existing & { readonly status: 'paid' })
  | (Existing & { readonly status: 'shipped'; readonly carrier: string })
  | Cancelled;

/** The payments that came too late, by id; absent before the first. */
type Cancelled = Existing & {
  readonly status: 'cancelled';
  readonly reason: string;
  readonly late?: readonly string[];
};

export const order = entity('order', {
  version: 1,
  commands: [createOrder, payOrder, shipOrder, cancelOrder, reportLatePayment, addNote],
  events: [orderCreated, orderPaid, orderShipped, orderCancelled, orderPaymentLate, orderNoteAdded],
  refusals,
  initial: { status: 'new' } as Order,

  decide: {
    'create-order': (state, { customerId, currency, terms, lines, freightMinor }) => {
      if (state.status !== 'new') return refuse('order.already_created');
      const total = totalMinor(lines);
      if (isTooMuch(total + freightMinor)) return refuse('order.too_large');
      const priced = lines.map((line) => ({ ...line, lineMinor: lineMinor(line) }));
      return [orderCreated({ customerId, currency, terms, lines: priced, totalMinor: total, freightMinor })];
    },
    'pay-order': (state, { amountMinor, card }) => {
      if (state.status === 'new') return refuse('order.not_created');
      if (state.status === 'cancelled') return refuse('order.cancelled');
      if (state.status !== 'created') return refuse('order.already_paid');
      if (amountMinor !== state.dueMinor) return refuse('order.wrong_amount');
      return [orderPaid(card ? { amountMinor, card: { ...card, customerId: state.customerId } } : { amountMinor })];
    },
    'ship-order': (state, { carrier }) => {
      if (state.status === 'new') return refuse('order.not_created');
      if (state.status === 'cancelled') return refuse('order.cancelled');
      if (state.status === 'shipped') return refuse('order.already_shipped');
      return state.status === 'paid' ? [orderShipped({ carrier })] : refuse('order.not_paid');
    },
    'cancel-order': (state, { reason, onlyIfUnpaid }) => {
      if (state.status === 'new') return refuse('order.not_created');
      if (state.status === 'shipped') return refuse('order.already_shipped');
      if (state.status === 'cancelled') return refuse('order.cancelled');
      return state.status === 'paid' && onlyIfUnpaid ? refuse('order.already_paid') : [orderCancelled({ reason })];
    },
    'report-late-payment': (state, { paymentId, amountMinor }) => {
      if (state.status === 'new') return refuse('order.not_created');
      if (state.status !== 'cancelled') return refuse('order.not_cancelled');
      return state.late?.includes(paymentId) ? [] : [orderPaymentLate({ paymentId, amountMinor })];
    },
    'add-note': (state, { text }) =>
      state.status === 'new' ? refuse('order.not_created') : [orderNoteAdded({ text })],
  },

  evolve: {
    'order.created': (_state, { customerId, totalMinor: total, freightMinor }): Order => ({
      status: 'created',
      customerId,
      dueMinor: total + freightMinor,
      notes: 0,
    }),
    'order.paid': (state): Order => ({ ...existing(state), status: 'paid' }),
    'order.shipped': (state, { carrier }): Order => ({ ...existing(state), status: 'shipped', carrier }),
    'order.cancelled': (state, { reason }): Order => ({ ...existing(state), status: 'cancelled', reason }),
    'order.payment-late': (state, { paymentId }): Order =>
      state.status === 'cancelled' ? { ...state, late: [...(state.late ?? []), paymentId] } : state,
    'order.note-added': (state): Order => (state.status === 'new' ? state : { ...state, notes: state.notes + 1 }),
  },

  isFinal: (state) => state.status === 'shipped' || state.status === 'cancelled',
});

function existing(state: Order): Existing {
  if (state.status === 'new') throw new Error('an order begins with order.created');
  const { customerId, dueMinor, notes } = state;
  return { customerId, dueMinor, notes };
}
