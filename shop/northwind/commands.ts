import type { CommandsOf } from '../../model/entity';
import { createOrder, payOrder, shipOrder } from '../order/contract';
import type { order } from '../order/entity';
import { totalMinor } from '../order/money';
import type { BookOrder } from './book';

export interface BookCommand {
  /** The same on every run, so that a second one finds its answers. */
  readonly commandId: string;
  readonly occurredAt: string;
  readonly command: CommandsOf<typeof order>;
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
