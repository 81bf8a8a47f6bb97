import type { Command } from '../../contracts/command';
import type { CommandMessage } from '../../contracts/message';
import { addNote } from '../../shop/order/contract';
import { capturePayment, refundPayment } from '../../shop/payment/contract';
import { publishPage } from '../../shop/product/contract';
import { create, pay, ship } from './orders';

let nth = 0;

const message = (entityType: string, entityId: string, { name, version, data }: Command): CommandMessage => ({
  entityType,
  entityId,
  commandId: `s${++nth}`,
  name,
  version,
  data,
});

export const note = (orderId: string): CommandMessage => message('order', orderId, addNote({ text: `note ${nth}` }));

/** Orders in every state, payments of three users, a page: what each of the shop's read models is made of. */
export function shopCommands(from: number, to: number): CommandMessage[] {
  return Array.from({ length: to - from }, (_, at) => from + at).flatMap((n) => {
    const userId = `user-${n % 3}`;
    const steps = [create(), pay(), ship()].slice(0, 1 + (n % 3)).map((step) => message('order', `o-${n}`, step));
    const captured = message('payment', `p-${n}`, capturePayment({ userId, amountMinor: 100 + n, currency: 'EUR' }));
    const refunded = message('payment', `p-${n}`, refundPayment({ amountMinor: 1 }));
    const page = { title: `Page ${n}`, body: 'Chai, "with" milk\n\\', tags: ['tea', 'a "b", {c}'] };
    return [
      ...steps,
      captured,
      ...(n % 2 ? [refunded] : []),
      ...(n % 5 ? [] : [message('product', `g-${n}`, publishPage(page))]),
    ];
  });
}
