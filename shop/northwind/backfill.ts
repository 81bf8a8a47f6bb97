import { z } from 'zod';
import { backfill, csv } from '../../model/backfill';
import { order } from '../order/entity';
import { readLines, toBookOrder } from './book';
import { bookCommands } from './commands';

// An order's lines are a file of their own: looked up, read once, when the first row is mapped.
let lines: ReturnType<typeof readLines> | undefined;

/**
 * The book's orders.csv as commands: each order is created and, where it shipped, paid and shipped, on the days of the book.
 * Their ids begin with `nw-`, so that they lie beside those that the demo plays.
 */
export const northwindOrders = backfill('northwind-orders', {
  source: csv(),
  row: z.record(z.string(), z.string()),
  id: (row) => row['order_id'] ?? '',
  map: (row) => {
    const booked = toBookOrder(row, (lines ??= readLines()));
    const id = `nw-${booked.orderId}`;
    return bookCommands(booked).map(({ command, occurredAt }) => ({ entity: order, id, command, occurredAt }));
  },
});
