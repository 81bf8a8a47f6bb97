import { projection, sql } from '../../model/projection';
import { order } from './entity';

export interface OrderSummaryRow {
  readonly orderId: string;
  readonly customerId: string;
  readonly status: 'created' | 'paid' | 'shipped' | 'cancelled';
  readonly currency: string;
  readonly totalMinor: number;
  readonly freightMinor: number;
  readonly lines: number;
  readonly units: number;
  readonly createdAt: string | null;
  readonly paidAt: string | null;
  readonly shippedAt: string | null;
  readonly cancelledAt: string | null;
  readonly version: number;
}

/** One row per order, for lists and pages. Its columns are stable. */
export const orderSummary = projection('order_summary', {
  version: 1,
  from: [order],
  table: sql`
    order_id      text primary key,
    customer_id   text not null,
    status        text not null check (status in ('created', 'paid', 'shipped', 'cancelled')),
    currency      text not null,
    total_minor   bigint not null,
    freight_minor bigint not null,
    lines         integer not null,
    units         integer not null,
    created_at    timestamptz,
    paid_at       timestamptz,
    shipped_at    timestamptz,
    cancelled_at  timestamptz,
    version       integer not null
  `,
  initial: (orderId): OrderSummaryRow => ({
    orderId,
    customerId: '',
    status: 'created',
    currency: '',
    totalMinor: 0,
    freightMinor: 0,
    lines: 0,
    units: 0,
    createdAt: null,
    paidAt: null,
    shippedAt: null,
    cancelledAt: null,
    version: 0,
  }),
  fold: {
    'order.created': (row, { data, occurredAt, version }): OrderSummaryRow => ({
      ...row,
      customerId: data.customerId,
      status: 'created',
      currency: data.currency,
      totalMinor: data.totalMinor,
      freightMinor: data.freightMinor,
      lines: data.lines.length,
      units: data.lines.reduce((sum, { quantity }) => sum + quantity, 0),
      createdAt: occurredAt,
      version,
    }),
    'order.paid': (row, { occurredAt, version }): OrderSummaryRow => ({
      ...row,
      status: 'paid',
      paidAt: occurredAt,
      version,
    }),
    'order.shipped': (row, { occurredAt, version }): OrderSummaryRow => ({
      ...row,
      status: 'shipped',
      shippedAt: occurredAt,
      version,
    }),
    'order.cancelled': (row, { occurredAt, version }): OrderSummaryRow => ({
      ...row,
      status: 'cancelled',
      cancelledAt: occurredAt,
      version,
    }),
    'order.payment-late': (row, { version }): OrderSummaryRow => ({ ...row, version }),
    'order.note-added': (row, { version }): OrderSummaryRow => ({ ...row, version }),
  },
});
