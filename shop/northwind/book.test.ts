import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { totalMinor } from '../order/money';
import { readBook } from './book';
import { bookCommands } from './commands';
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
