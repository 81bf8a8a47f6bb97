import { performance } from 'node:perf_hooks';
import type { EntityHandle } from '../../client/entity-handle';
import type { AnyEntity } from '../../model/entity';
import { readBook, readProducts } from './book';
import { CARD_ORDERS, cardCommands } from './cards';
import { bookCommands, pageCommands, paymentCommands, paymentIdOf, type BookCommand } from './commands';

/** What `reprise start` gives a demo; see cli/start/demo.ts. */
interface Stage {
  readonly client: unknown;
  readonly played: (entityType: string, entityIds: readonly string[]) => Promise<ReadonlySet<string>>;
  readonly progress: (done: number, total: number) => void;
  readonly signal: AbortSignal;
}

type EntityType = 'order' | 'payment' | 'product';
type Shop = Readonly<Record<EntityType, (id: string) => EntityHandle<AnyEntity>>>;

/** One entity's part: its commands in turn. */
interface Part {
  readonly entityType: EntityType;
  readonly entityId: string;
  readonly commands: readonly Sendable[];
}

/** What the cards' orders do has no day in the book: it happens when it is sent. */
type Sendable = Omit<BookCommand<AnyEntity>, 'occurredAt'> & { readonly occurredAt?: string };

const ENTITIES_IN_FLIGHT = 32;
// Each waits for its whole deadline: a machine that stops for minutes is no reason to give up.
const SENDS_MAX = 20;

/**
 * The Northwind book, played as commands: orders, payments and pages side by side, each one's commands in turn. Then card
 * orders, which are only created: what becomes of them is up to the shop's reactions.
 */
export const demo = {
  name: 'Northwind',
  /** What its workers and its outside are to know where the environment says nothing: a deadline one can wait for. */
  env: { UNPAID_ORDER_MS: '20000' },

  async play({ client, played, progress, signal }: Stage) {
    const shop = client as Shop;
    const parts = readParts();
    const done = await alreadyPlayed(parts, played);
    const left = parts
      .map((part) => ({ ...part, commands: part.commands.filter(({ commandId }) => !done.has(commandId)) }))
      .filter(({ commands }) => commands.length > 0);
    const total = left.reduce((sum, { commands }) => sum + commands.length, 0);
    const latenciesMs: number[] = [];
    const startedAt = performance.now();
    const queue = left.values();

    async function playParts(): Promise<void> {
      for (const part of queue) {
        for (const step of part.commands) {
          const latencyMs = signal.aborted ? null : await send(shop, part, step, signal);
          if (latencyMs === null) return;
          latenciesMs.push(latencyMs);
          progress(latenciesMs.length, total);
        }
      }
    }

    await Promise.all(Array.from({ length: ENTITIES_IN_FLIGHT }, playParts));
    const count = (entityType: EntityType) => parts.filter((part) => part.entityType === entityType).length;
    return {
      entities: {
        orders: count('order') - CARD_ORDERS.length,
        payments: count('payment'),
        pages: count('product'),
        card_orders: CARD_ORDERS.length,
      },
      commands: latenciesMs.length,
      alreadyPlayed: done.size,
      seconds: (performance.now() - startedAt) / 1000,
      latenciesMs,
    };
  },
};

/** The pages first, since what is sold must be for sale; then each order and what paid for it; then the card orders. */
function readParts(): Part[] {
  const pages = readProducts().map((booked): Part => ({
    entityType: 'product',
    entityId: booked.productId,
    commands: pageCommands(booked),
  }));
  const orders = readBook().flatMap((booked): Part[] => [
    { entityType: 'order', entityId: booked.orderId, commands: bookCommands(booked) },
    { entityType: 'payment', entityId: paymentIdOf(booked), commands: paymentCommands(booked) },
  ]);
  const cards = CARD_ORDERS.map((card): Part => ({
    entityType: 'order',
    entityId: card.orderId,
    commands: cardCommands(card),
  }));
  return [...pages, ...orders, ...cards].filter(({ commands }) => commands.length > 0);
}

async function alreadyPlayed(parts: readonly Part[], played: Stage['played']): Promise<ReadonlySet<string>> {
  const types = new Set(parts.map(({ entityType }) => entityType));
  const ids = await Promise.all(
    [...types].map((entityType) =>
      played(
        entityType,
        parts.filter((part) => part.entityType === entityType).map(({ entityId }) => entityId),
      ),
    ),
  );
  // What others sent to the same entities is not the demo's.
  const ours = new Set(parts.flatMap(({ commands }) => commands.map(({ commandId }) => commandId)));
  return new Set(ids.flatMap((some) => [...some].filter((commandId) => ours.has(commandId))));
}

/** Milliseconds until it was known to be accepted; null when nobody wants to know any more. */
async function send(
  shop: Shop,
  { entityType, entityId }: Part,
  { command, ...options }: Sendable,
  signal: AbortSignal,
): Promise<number | null> {
  const sentAt = performance.now();
  for (let sends = 1; ; sends++) {
    const result = await shop[entityType](entityId).send(command, options);
    if (result.outcome === 'accepted') return performance.now() - sentAt;
    if (result.outcome !== 'unknown' || sends === SENDS_MAX) {
      throw new Error(`${entityType} ${entityId}: ${command.name} was ${result.outcome}: ${result.message}`);
    }
    // It may have happened: sent again under the same id, it happens once and its answer is told.
    if (signal.aborted) return null;
  }
}
