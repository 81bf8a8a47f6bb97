import { setTimeout } from 'node:timers/promises';
import type { RepriseClient } from '../../client/client';
import type { model } from '../../shop/model';
import { createOrder, payOrder, shipOrder } from '../../shop/order/contract';
import { rateOf, type Rate } from '../measure';

const LINES = [{ productId: '11', unitPriceMinor: 1_400, quantity: 12, discountPercent: 0 }];
const STEPS = [
  createOrder({ customerId: 'VINET', currency: 'EUR', terms: 'account', lines: LINES, freightMinor: 0 }),
  payOrder({ amountMinor: 16_800 }),
  shipOrder({ carrier: 'DHL' }),
] as const;
// An order's next command is sent this many orders later, long after the answer to the one before.
const ORDERS_BETWEEN_STEPS = 20;

type Shop = RepriseClient<(typeof model)['entities']>;

export interface Load {
  readonly perSecond: number;
  readonly seconds: number;
  /** Before the orders' ids, so that no load meets another's orders. */
  readonly tag: string;
}

/**
 * Commands at a steady rate, whatever the answers take: each is timed from when it was due, so that one slow answer does
 * not hide those that waited behind it.
 */
export async function runLiveLoad(shop: Shop, { perSecond, seconds, tag }: Load): Promise<Rate> {
  const startedAt = performance.now();
  const latencies = await Promise.all(
    Array.from({ length: perSecond * seconds }, async (_, n) => {
      const dueAt = startedAt + (n / perSecond) * 1_000;
      await setTimeout(dueAt - performance.now());
      const { id, step } = dueCommand(n);
      const answer = await shop.order(`${tag}-${id}`).send(STEPS[step] ?? STEPS[0]);
      if (answer.outcome !== 'accepted') throw new Error(JSON.stringify(answer));
      return performance.now() - dueAt;
    }),
  );
  return rateOf(latencies, (performance.now() - startedAt) / 1_000);
}

/** Creates, payments and shipments in turns, each of another order; where the first orders are still to come, one more is made. */
export function dueCommand(n: number): { readonly id: string; readonly step: number } {
  const step = n % STEPS.length;
  const order = Math.floor(n / STEPS.length) - step * ORDERS_BETWEEN_STEPS;
  return order < 0 ? { id: `extra-${n}`, step: 0 } : { id: String(order), step };
}
