import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PricedLine } from '../order/money';
import { parseCsv } from './csv';

/** An order of the Northwind book, its money in cents. */
export interface BookOrder {
  readonly orderId: string;
  readonly customerId: string;
  /** ISO dates. */
  readonly orderedOn: string;
  readonly shippedOn: string | null;
  readonly freightMinor: number;
  readonly lines: readonly (PricedLine & { readonly productId: string })[];
}

/** A product of the Northwind catalog, its text as the catalog has it. */
export interface BookProduct {
  readonly productId: string;
  readonly name: string;
  readonly category: string;
  readonly categoryDescription: string;
  /** Like '10 boxes x 30 bags'. */
  readonly quantityPerUnit: string;
  /** In dollars, like '18.00'. */
  readonly unitPrice: string;
  readonly discontinued: boolean;
}

const DATA = join(__dirname, 'data');

/** The whole book: 830 orders of 89 customers, oldest first. */
export function readBook(): BookOrder[] {
  const lines = readLines();
  return read('orders.csv').map((row) => toBookOrder(row, lines));
}

type Lines = ReadonlyMap<string, readonly Row[]>;

/** The lines of every order, by its id. */
export const readLines = (): Lines => groupBy(read('order_details.csv'), (row) => column(row, 'order_id'));

/** A row of orders.csv with its lines. Throws on what is not in the book's form. */
export function toBookOrder(row: Row, lines: Lines): BookOrder {
  return {
    orderId: column(row, 'order_id'),
    customerId: column(row, 'customer_id'),
    orderedOn: column(row, 'order_date'),
    shippedOn: column(row, 'shipped_date') || null,
    freightMinor: hundredths(column(row, 'freight')),
    lines: (lines.get(column(row, 'order_id')) ?? []).map((line) => ({
      productId: column(line, 'product_id'),
      unitPriceMinor: hundredths(column(line, 'unit_price')),
      quantity: Number(column(line, 'quantity')),
      discountPercent: hundredths(column(line, 'discount')),
    })),
  };
}

/** The whole catalog: 77 products of 8 categories. */
export function readProducts(): BookProduct[] {
  return read('products.csv').map((row) => ({
    productId: column(row, 'product_id'),
    name: column(row, 'product_name'),
    category: column(row, 'category_name'),
    categoryDescription: column(row, 'category_description'),
    quantityPerUnit: column(row, 'quantity_per_unit'),
    unitPrice: column(row, 'unit_price'),
    discontinued: column(row, 'discontinued') === '1',
  }));
}

type Row = Record<string, string>;

const read = (file: string): Row[] => parseCsv(readFileSync(join(DATA, file), 'utf8'));

function groupBy(rows: readonly Row[], keyOf: (row: Row) => string): Map<string, Row[]> {
  const groups = new Map<string, Row[]>();
  for (const row of rows) groups.set(keyOf(row), [...(groups.get(keyOf(row)) ?? []), row]);
  return groups;
}

function column(row: Row, name: string): string {
  const value = row[name];
  if (value === undefined) throw new Error(`the book has no column '${name}'`);
  return value;
}

/** '32.38' -> 3238, digit by digit: a float would round. */
function hundredths(text: string): number {
  const match = /^(\d+)(?:\.(\d{1,2}))?$/.exec(text);
  if (!match) throw new Error(`'${text}' is not a number with at most two decimals`);
  return Number(match[1]) * 100 + Number((match[2] ?? '').padEnd(2, '0'));
}
