import { eventIdOf } from '../../contracts/event-id';
import type { NewEvent } from '../../contracts/event';
import { partitionOf } from '../../model/partition';
import { orderCreated, orderPaid, orderShipped } from '../../shop/order/contract';
import { order } from '../../shop/order/entity';
import { lineMinor, totalMinor } from '../../shop/order/money';

export const EVENTS_PER_ORDER = 3;

// Distinct orders by what is in them; a prime, so that they fall on every partition.
const SHAPES = 997;
const CUSTOMERS = 91;
const STARTED_AT_MS = Date.UTC(2026, 0, 1);

interface Shape {
  readonly history: readonly NewEvent[];
  /** JSON texts of the history's data, and of the state it comes to. */
  readonly data: readonly string[];
  readonly state: string;
}

export interface OrderLog {
  readonly events: number;
  /** Rows of `reprise.events` in the order in which they were written, as COPY reads them. */
  readonly eventRows: () => Generator<string>;
  /** Rows of `reprise.entities`, as COPY reads them. */
  readonly entityRows: () => Generator<string>;
  /** The last offset of each partition. */
  readonly heads: readonly number[];
}

export const EVENT_COLUMNS = `partition, "offset", event_id, entity_type, entity_id, version, type, schema_version, data,
  meta, command_id, origin, published_after, occurred_at, recorded_at`;
export const ENTITY_COLUMNS =
  'entity_type, entity_id, version, published_version, state, definition, partition, updated_at';

/**
 * All orders are created, then all are paid, then all are shipped, a millisecond apart: an order's events lie as far from
 * each other in the log as there are orders. Offsets, ids and states are what commits would have written.
 */
export function orderLog({ orders, partitions }: { orders: number; partitions: number }): OrderLog {
  const shapes = Array.from({ length: SHAPES }, (_, n) => makeShape(n));
  const shapeOf = (number: number) => shapes[number % SHAPES] as Shape;
  const partitionOfOrder = new Uint16Array(orders + 1);
  const heads = new Array<number>(partitions).fill(0);
  for (let number = 1; number <= orders; number++) {
    const partition = partitionOf(order.name, String(number), partitions);
    partitionOfOrder[number] = partition;
    heads[partition] = (heads[partition] ?? 0) + EVENTS_PER_ORDER;
  }
  const timeOf = (number: number, version: number) =>
    new Date(STARTED_AT_MS + (version - 1) * orders + number).toISOString();

  function* eventRows(): Generator<string> {
    const offsets = new Array<number>(partitions).fill(0);
    for (let version = 1; version <= EVENTS_PER_ORDER; version++) {
      for (let number = 1; number <= orders; number++) {
        const { history, data } = shapeOf(number);
        const event = history[version - 1] as NewEvent;
        const partition = partitionOfOrder[number] as number;
        const offset = (offsets[partition] ?? 0) + 1;
        offsets[partition] = offset;
        const entityId = String(number);
        const commandId = `${event.type}-${number}`;
        const eventId = eventIdOf({ entityType: order.name, entityId, version, commandId });
        const at = timeOf(number, version);
        yield `${partition}\t${offset}\t${eventId}\t${order.name}\t${entityId}\t${version}\t${event.type}\t${event.schemaVersion}\t${data[version - 1]}\t{}\t${commandId}\tlive\t${version - 1}\t${at}\t${at}\n`;
      }
    }
  }

  function* entityRows(): Generator<string> {
    for (let number = 1; number <= orders; number++) {
      const version = EVENTS_PER_ORDER;
      yield `${order.name}\t${number}\t${version}\t${version}\t${shapeOf(number).state}\t${order.version}\t${partitionOfOrder[number]}\t${timeOf(number, version)}\n`;
    }
  }

  return { events: orders * EVENTS_PER_ORDER, eventRows, entityRows, heads };
}

/** One to three lines, as many customers as Northwind has. Nothing in it needs COPY's escapes. */
function makeShape(n: number): Shape {
  const lines = Array.from({ length: 1 + (n % 3) }, (_, at) => {
    const priced = { unitPriceMinor: 200 + ((n * 37 + at * 1_009) % 9_800), quantity: 1 + ((n + at) % 40) };
    const line = { productId: String(1 + ((n * 7 + at) % 77)), ...priced, discountPercent: (n % 4) * 5 };
    return { ...line, lineMinor: lineMinor(line) };
  });
  const total = totalMinor(lines);
  const freightMinor = 100 + (n % 900);
  const customerId = `C${String(n % CUSTOMERS).padStart(4, '0')}`;
  const history = [
    orderCreated({ customerId, currency: 'EUR', terms: 'account', lines, totalMinor: total, freightMinor }),
    orderPaid({ amountMinor: total + freightMinor }),
    orderShipped({ carrier: 'DHL' }),
  ];
  const state = history.reduce<unknown>((before, event) => order.evolve(before, event), order.initial);
  return { history, data: history.map(({ data }) => JSON.stringify(data)), state: JSON.stringify(state) };
}
