import { performance } from 'node:perf_hooks';
import type { RepriseClient } from '../../client/client';
import type { order } from '../order/entity';
import { readBook } from './book';
import { bookCommands, type BookCommand } from './commands';

/** What `reprise start` gives a demo; see cli/start/demo.ts. */
interface Stage {
  readonly client: unknown;
  readonly played: (entityType: string, entityIds: readonly string[]) => Promise<ReadonlySet<string>>;
  readonly progress: (done: number, total: number) => void;
  readonly signal: AbortSignal;
}

const ORDERS_IN_FLIGHT = 32;

/** The Northwind order book, played as commands: orders side by side, each order's commands in turn. */
export const demo = {
  name: 'Northwind order book',

  async play({ client, played, progress, signal }: Stage) {
    const shop = client as RepriseClient<readonly [typeof order]>;
    const book = readBook();
    const done = await played(
      'order',
      book.map(({ orderId }) => orderId),
    );
    const left = book
      .map((booked) => ({ booked, commands: bookCommands(booked).filter(({ commandId }) => !done.has(commandId)) }))
      .filter(({ commands }) => commands.length > 0);
    const total = left.reduce((sum, { commands }) => sum + commands.length, 0);
    const latenciesMs: number[] = [];
    const startedAt = performance.now();
    const queue = left.values();

    async function playOrders(): Promise<void> {
      for (const { booked, commands } of queue) {
        for (const step of commands) {
          if (signal.aborted) return;
          latenciesMs.push(await send(shop, booked.orderId, step));
          progress(latenciesMs.length, total);
        }
      }
    }

    await Promise.all(Array.from({ length: ORDERS_IN_FLIGHT }, playOrders));
    return {
      entities: book.length,
      commands: latenciesMs.length,
      alreadyPlayed: done.size,
      seconds: (performance.now() - startedAt) / 1000,
      latenciesMs,
    };
  },
};

async function send(
  shop: RepriseClient<readonly [typeof order]>,
  orderId: string,
  { command, commandId, occurredAt }: BookCommand,
): Promise<number> {
  const sentAt = performance.now();
  const result = await shop.order(orderId).send(command, { commandId, occurredAt });
  if (result.outcome !== 'accepted') {
    throw new Error(`order ${orderId}: ${command.name} was ${result.outcome}: ${result.message}`);
  }
  return performance.now() - sentAt;
}
