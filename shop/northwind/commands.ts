import type { AnyEntity, CommandsOf } from '../../model/entity';
import { createOrder, payOrder, shipOrder } from '../order/contract';
import type { order } from '../order/entity';
import { totalMinor } from '../order/money';
import { capturePayment } from '../payment/contract';
import type { payment } from '../payment/entity';
import { publishPage } from '../product/contract';
import type { product } from '../product/entity';
import type { BookOrder, BookProduct } from './book';

export interface BookCommand<E extends AnyEntity = typeof order> {
  /** The same on every run, so that a second one finds its answers. */
  readonly commandId: string;
  readonly occurredAt: string;
  readonly command: CommandsOf<E>;
}

// The book names its shippers by number only; these commands need a carrier.
const CARRIER = 'Northwind freight';

/** What became of an order, as commands: created, and if it shipped, paid on the order date and shipped. */
export function bookCommands({
  orderId,
  customerId,
  orderedOn,
  shippedOn,
  freightMinor,
  lines,
}: BookOrder): BookCommand[] {
  const step = (verb: string, day: string, command: BookCommand['command']): BookCommand => ({
    commandId: `northwind-${orderId}-${verb}`,
    occurredAt: `${day}T00:00:00Z`,
    command,
  });
  const created = step(
    'create',
    orderedOn,
    createOrder({ customerId, currency: 'USD', terms: 'account', lines: [...lines], freightMinor }),
  );
  if (!shippedOn) return [created];
  return [
    created,
    step('pay', orderedOn, payOrder({ amountMinor: totalMinor(lines) + freightMinor })),
    step('ship', shippedOn, shipOrder({ carrier: CARRIER })),
  ];
}

export const paymentIdOf = ({ orderId }: BookOrder): string => `northwind-${orderId}`;

/** Where the money of an order came from: what shipped was paid by its customer on the order date, total and freight. */
export function paymentCommands({
  orderId,
  customerId,
  orderedOn,
  shippedOn,
  freightMinor,
  lines,
}: BookOrder): BookCommand<typeof payment>[] {
  if (!shippedOn) return [];
  const amountMinor = totalMinor(lines) + freightMinor;
  return [
    {
      commandId: `northwind-${orderId}-capture`,
      occurredAt: `${orderedOn}T00:00:00Z`,
      command: capturePayment({ userId: customerId, orderId, amountMinor, currency: 'USD' }),
    },
  ];
}

// The catalog has no dates; its pages are there before the first order, of 4 July 1996.
const CATALOG_DAY = '1996-07-01';

/** A product's page, written from its line of the catalog. */
export function pageCommands(booked: BookProduct): BookCommand<typeof product>[] {
  const { productId, name, category, categoryDescription, quantityPerUnit, unitPrice, discontinued } = booked;
  const sold = `Sold as ${quantityPerUnit}, at ${unitPrice} US dollars.`;
  const body = `${categoryDescription}. ${sold}${discontinued ? ' Discontinued.' : ''}`;
  return [
    {
      commandId: `northwind-${productId}-publish`,
      occurredAt: `${CATALOG_DAY}T00:00:00Z`,
      // 'Meat/Poultry' is two things, and to a parser of words one: the path of a file.
      command: publishPage({ title: name, body, tags: category.split('/') }),
    },
  ];
}
