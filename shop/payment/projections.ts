import type { RecordedEvent } from '../../contracts/event';
import { projection, sql } from '../../model/projection';
import { payment } from './entity';

export interface UserBalanceRow {
  readonly balanceId: string;
  readonly userId: string;
  readonly currency: string;
  readonly capturedMinor: number;
  readonly refundedMinor: number;
  /** Captured minus refunded. */
  readonly balanceMinor: number;
  readonly payments: number;
  readonly failed: number;
  readonly lastActivity: string | null;
}

// Without its 'Z' a time of fewer digits sorts before one of more: 00:00:00 before 00:00:00.5.
const later = (one: string | null, other: string): string =>
  one === null || other.slice(0, -1) > one.slice(0, -1) ? other : one;

/** Throws rather than round: the payment that would make too much is held back, and the others of its user go on. */
function sum(one: number, other: number): number {
  const total = one + other;
  if (!Number.isSafeInteger(total)) throw new RangeError('a balance this large cannot be counted exactly');
  return total;
}

/** One row per user and currency, fed by many payments: sums and a maximum, so the order among them does not matter. */
export const userBalance = projection('user_balance', {
  version: 1,
  from: [payment],
  table: sql`
    balance_id     text primary key,
    user_id        text not null,
    currency       text not null,
    captured_minor bigint not null,
    refunded_minor bigint not null,
    balance_minor  bigint not null,
    payments       integer not null,
    failed         integer not null,
    last_activity  timestamptz
  `,
  key: (event: RecordedEvent) => {
    const { userId, currency } = event.data as { readonly userId: string; readonly currency: string };
    return `${currency}/${userId}`;
  },
  initial: (balanceId): UserBalanceRow => ({
    balanceId,
    userId: balanceId.slice(4),
    currency: balanceId.slice(0, 3),
    capturedMinor: 0,
    refundedMinor: 0,
    balanceMinor: 0,
    payments: 0,
    failed: 0,
    lastActivity: null,
  }),
  fold: {
    'payment.captured': (row, { data: { amountMinor }, occurredAt }): UserBalanceRow => ({
      ...row,
      capturedMinor: sum(row.capturedMinor, amountMinor),
      balanceMinor: sum(row.balanceMinor, amountMinor),
      payments: row.payments + 1,
      lastActivity: later(row.lastActivity, occurredAt),
    }),
    'payment.refunded': (row, { data: { amountMinor }, occurredAt }): UserBalanceRow => ({
      ...row,
      refundedMinor: sum(row.refundedMinor, amountMinor),
      balanceMinor: sum(row.balanceMinor, -amountMinor),
      lastActivity: later(row.lastActivity, occurredAt),
    }),
    'payment.failed': (row, { occurredAt }): UserBalanceRow => ({
      ...row,
      failed: row.failed + 1,
      lastActivity: later(row.lastActivity, occurredAt),
    }),
  },
});
