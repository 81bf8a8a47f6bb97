import { entity } from '../../model/entity';
import { refuse } from '../../model/refusal';
import {
  capturePayment,
  failPayment,
  paymentCaptured,
  paymentFailed,
  paymentRefunded,
  refundPayment,
} from './contract';
import { refusals } from './refusals';

export type Payment =
  | { readonly status: 'new' }
  | { readonly status: 'failed'; readonly reason: string }
  | {
      readonly status: 'captured';
      readonly userId: string;
      readonly currency: string;
      readonly capturedMinor: number;
      readonly refundedMinor: number;
    };

export const payment = entity('payment', {
  version: 1,
  commands: [capturePayment, refundPayment, failPayment],
  events: [paymentCaptured, paymentRefunded, paymentFailed],
  refusals,
  initial: { status: 'new' } as Payment,

  decide: {
    'capture-payment': (state, data) =>
      state.status === 'new' ? [paymentCaptured(data)] : refuse('payment.already_taken'),
    'refund-payment': (state, { amountMinor }) => {
      if (state.status !== 'captured') return refuse('payment.not_captured');
      const { userId, currency, capturedMinor, refundedMinor } = state;
      return refundedMinor + amountMinor <= capturedMinor
        ? [paymentRefunded({ userId, amountMinor, currency })]
        : refuse('payment.refund_too_large');
    },
    'fail-payment': (state, data) => (state.status === 'new' ? [paymentFailed(data)] : refuse('payment.already_taken')),
  },

  evolve: {
    'payment.captured': (_state, { userId, currency, amountMinor }): Payment => ({
      status: 'captured',
      userId,
      currency,
      capturedMinor: amountMinor,
      refundedMinor: 0,
    }),
    'payment.refunded': (state, { amountMinor }): Payment =>
      state.status === 'captured' ? { ...state, refundedMinor: state.refundedMinor + amountMinor } : state,
    'payment.failed': (_state, { reason }): Payment => ({ status: 'failed', reason }),
  },

  isFinal: (state) =>
    state.status === 'failed' || (state.status === 'captured' && state.refundedMinor === state.capturedMinor),
});
