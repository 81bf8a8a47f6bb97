import { numberFrom } from './outside/process';
import { httpPayments } from './outside/http-payments';
import { smtpMail } from './outside/smtp-mail';

/** What the shop's reactions reach the outside by. Each call may be made again under the same key. */
export interface ShopPorts {
  readonly payments: Payments;
  readonly mail: Mail;
  readonly settings: ShopSettings;
}

/** Throws `RetryLater` when the provider says when, `GiveUp` when no further try helps; anything else may be tried again. */
export interface Payments {
  readonly capture: (
    order: Money & { readonly customerId: string },
    call: { readonly signal: AbortSignal },
  ) => Promise<{ readonly outcome: 'captured' } | { readonly outcome: 'declined'; readonly reason: string }>;
  readonly refund: (
    order: Money,
    call: { readonly signal: AbortSignal },
  ) => Promise<{ readonly outcome: 'refunded' } | { readonly outcome: 'declined'; readonly reason: string }>;
}

export interface Money {
  readonly idempotencyKey: string;
  readonly paymentId: string;
  /** Whole minor units (cents). */
  readonly amountMinor: number;
  readonly currency: string;
}

/** Throws `GiveUp` when the server refuses for good. */
export interface Mail {
  readonly send: (
    letter: { readonly idempotencyKey: string; readonly to: string; readonly subject: string; readonly text: string },
    call: { readonly signal: AbortSignal },
  ) => Promise<void>;
}

export interface ShopSettings {
  /** How long a card order may stay unpaid. */
  readonly unpaidOrderMs: number;
  /** How long after its cancellation a payment is still waited for, to be given back. */
  readonly latePaymentMs: number;
}

const UNPAID_ORDER_MS = 15 * 60_000;
const LATE_PAYMENT_MS = 30 * 24 * 60 * 60_000;

/** The ports as the environment has them. What a port lacks is named when it is first used. */
export const ports = (env: NodeJS.ProcessEnv): ShopPorts => ({
  payments: httpPayments(() => required(env, 'PAYMENT_PROVIDER_URL', ['http:', 'https:'])),
  mail: smtpMail(() => required(env, 'SMTP_URL', ['smtp:', 'smtps:'])),
  settings: {
    unpaidOrderMs: numberFrom(env, 'UNPAID_ORDER_MS', UNPAID_ORDER_MS),
    latePaymentMs: numberFrom(env, 'LATE_PAYMENT_MS', LATE_PAYMENT_MS),
  },
});

function required(env: NodeJS.ProcessEnv, variable: string, protocols: readonly string[]): string {
  const value = env[variable];
  if (!value) throw new Error(`${variable} is not set`);
  // Not echoed: it may hold a password.
  if (!URL.canParse(value) || !protocols.includes(new URL(value).protocol)) {
    throw new Error(`${variable} is not a URL that begins with ${protocols.join(' or ')}`);
  }
  return value;
}
