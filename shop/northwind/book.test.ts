import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createOrder } from '../order/contract';
import { totalMinor } from '../order/money';
import { capturePayment } from '../payment/contract';
import { publishPage } from '../product/contract';
import { readBook, readProducts } from './book';
import { CARD_ORDERS, cardCommands } from './cards';
import { bookCommands, pageCommands, paymentCommands, paymentIdOf } from './commands';
import { parseCsv } from './csv';

const book = readBook();

test('the book has 830 orders of 89 customers, 809 of them shipped', () => {
  expect(book).toHaveLength(830);
  expect(new Set(book.map(({ customerId }) => customerId)).size).toBe(89);
  expect(book.filter(({ shippedOn }) => shippedOn)).toHaveLength(809);
});
test('it plays as 2,448 commands, each with an id of its own', () => {
  const commands = book.flatMap(bookCommands);
  expect(commands).toHaveLength(2_448);
  expect(new Set(commands.map(({ commandId }) => commandId)).size).toBe(2_448);
});
test('an order that shipped was paid on the order date and shipped on its day; an open one is only created', () => {
  const [first] = book;
  expect(first && bookCommands(first).map(({ occurredAt, command }) => [command.name, occurredAt])).toEqual([
    ['create-order', '1996-07-04T00:00:00Z'],
    ['pay-order', '1996-07-04T00:00:00Z'],
    ['ship-order', '1996-07-16T00:00:00Z'],
  ]);
  const open = book.find(({ shippedOn }) => !shippedOn);
  expect(open && bookCommands(open).map(({ command }) => command.name)).toEqual(['create-order']);
});
test('809 payments pay for the orders that shipped, to the cent', () => {
  const commands = book.flatMap(paymentCommands);
  expect(commands).toHaveLength(809);
  const paid = book
    .flatMap(bookCommands)
    .flatMap(({ command }) => (command.name === 'pay-order' ? [command.data] : []));
  const captured = commands.flatMap(({ command }) => (command.name === 'capture-payment' ? [command.data] : []));
  expect(captured.map(({ amountMinor }) => amountMinor)).toEqual(paid.map(({ amountMinor }) => amountMinor));
  expect(new Set(book.map(paymentIdOf)).size).toBe(830);
  expect(commands[0]).toEqual({
    commandId: 'northwind-10248-capture',
    occurredAt: '1996-07-04T00:00:00Z',
    command: capturePayment({ userId: 'VINET', orderId: '10248', amountMinor: 44_000 + 3_238, currency: 'USD' }),
  });
});
test('77 products have a page each', () => {
  const commands = readProducts().flatMap(pageCommands);
  expect(commands).toHaveLength(77);
  expect(commands[0]?.command).toEqual(
    publishPage({
      title: 'Chai',
      body: 'Soft drinks, coffees, teas, beers, and ales. Sold as 10 boxes x 30 bags, at 18.00 US dollars. Discontinued.',
      tags: ['Beverages'],
    }),
  );
  for (const { command } of commands) expect(publishPage.schema.safeParse(command.data).success).toBe(true);
});
test('no two commands of the demo share an id', () => {
  const ids = [
    ...book.flatMap(bookCommands).map(({ commandId }) => commandId),
    ...book.flatMap(paymentCommands).map(({ commandId }) => commandId),
    ...readProducts()
      .flatMap(pageCommands)
      .map(({ commandId }) => commandId),
    ...CARD_ORDERS.flatMap(cardCommands).map(({ commandId }) => commandId),
  ];
  expect(ids).toHaveLength(3_370);
  expect(new Set(ids).size).toBe(3_370);
});
test('36 card orders go as a provider may: most are captured, some declined, slow, late or never answered', () => {
  const kinds = CARD_ORDERS.map(({ customerId }) => customerId.split('-')[0] ?? '');
  const count = (kind: string) => kinds.filter((one) => one === kind).length;
  expect(['CARD', 'DECLINED', 'SLOW', 'NEVER', 'LATE'].map(count)).toEqual([22, 5, 5, 2, 2]);
  expect(CARD_ORDERS.map(({ orderId }) => orderId)).toEqual(Array.from({ length: 36 }, (_, at) => `card-${at + 1}`));
  for (const { command } of CARD_ORDERS.flatMap(cardCommands)) {
    expect(createOrder.schema.safeParse(command.data).success).toBe(true);
    expect(command.data).toMatchObject({ terms: 'card', currency: 'USD' });
  }
});
test('the totals agree with the CSV, added up another way', () => {
  const rows = parseCsv(readFileSync(join(__dirname, 'data/order_details.csv'), 'utf8'));
  const cents = rows.reduce((sum, row) => {
    const exact = Number(row['unit_price']) * Number(row['quantity']) * (1 - Number(row['discount'])) * 100;
    return sum + Math.floor(exact + 0.5 + 1e-6);
  }, 0);
  expect(book.reduce((sum, { lines }) => sum + totalMinor(lines), 0)).toBe(cents);
  // By Python's decimal module, ROUND_HALF_UP. 53 lines lie exactly between two cents; plain floats get 4 of them wrong.
  expect(cents).toBe(126_579_329);
  expect(book.reduce((sum, { freightMinor }) => sum + freightMinor, 0)).toBe(6_494_269);
});

describe('csv', () => {
  test('quotes, commas, line breaks, CRLF and a BOM', () => {
    expect(parseCsv('\uFEFFa,b\r\n"x, ""y""","1\n2"\r\nMéxico,\r\n')).toEqual([
      { a: 'x, "y"', b: '1\n2' },
      { a: 'México', b: '' },
    ]);
  });
  test('a row of another length is named', () => {
    expect(() => parseCsv('a,b\n1,2\n3\n')).toThrow(/row 3 has 1 fields, the header 2/);
  });
  test.each(['a,b\nx"y,1\n', 'a,b\n"x"y,1\n', 'a,b\n"x,1\n2,3\n', 'a,b\rx,1\r'])(
    '%j is refused, not repaired',
    (text) => {
      expect(() => parseCsv(text)).toThrow(/is not CSV/);
    },
  );
  test('a last row needs no line break, and its last field may be empty', () => {
    expect(parseCsv('a,b\n1,')).toEqual([{ a: '1', b: '' }]);
    expect(parseCsv('')).toEqual([]);
  });
});
