import { createOrder } from '../order/contract';
import type { BookCommand } from './commands';

/** An order to be paid by card. How it goes is in its customer's id: see shop/outside/payment-provider.ts. */
interface CardOrder {
  readonly orderId: string;
  readonly customerId: string;
}

const COUNT = 36;
// By their number, so that each kind comes early and often; the others are captured at once.
const KINDS: readonly { readonly kind: string; readonly of: readonly number[] }[] = [
  { kind: 'DECLINED', of: [3, 11, 17, 24, 30] },
  { kind: 'SLOW', of: [5, 13, 21, 28, 34] },
  { kind: 'NEVER', of: [8, 19] },
  { kind: 'LATE', of: [6, 26] },
];

/** `card-1` to `card-36`: most are captured, some are declined, slow, late or never answered. */
export const CARD_ORDERS: readonly CardOrder[] = Array.from({ length: COUNT }, (_, at) => {
  const nth = at + 1;
  const kind = KINDS.find(({ of }) => of.includes(nth))?.kind ?? 'CARD';
  return { orderId: `card-${nth}`, customerId: `${kind}-${nth}` };
});

/** Created, and no more: paying is up to the provider. Prices are made up; the products are in the catalog. */
export function cardCommands({ orderId, customerId }: CardOrder): Omit<BookCommand, 'occurredAt'>[] {
  const nth = Number(orderId.slice('card-'.length));
  const lines = [
    { productId: String(nth), unitPriceMinor: 1_000 + 50 * nth, quantity: 1 + (nth % 3), discountPercent: 0 },
  ];
  return [
    {
      commandId: `northwind-${orderId}-create`,
      command: createOrder({ customerId, currency: 'USD', terms: 'card', lines, freightMinor: 490 }),
    },
  ];
}
