import { Client, type Connection } from '@temporalio/client';
import type { ConnectionOptions } from '@temporalio/client';
import type { Pool } from 'pg';
import { openPool } from '../db/pool';
import { readIdentity } from '../db/identity';
import type { AnyEntity } from '../model/entity';
import type { Model } from '../model/model';
import { ENTITY_QUEUE } from '../workflows/names';
import { bindDatabase } from './binding';
import { Coalescer } from './coalescer';
import { connectTemporal } from './connect';
import { OpenWorkflows } from './open-workflows';
import { deliver, deliverPosts, type DeliverPorts } from './deliver';
import { bytesOf } from './door';
import { makeEntityHandle, type EntityHandle, type HandlePorts, type QueuedCommand } from './entity-handle';
import { hasSearchAttributes } from './search-attributes';
import type { ProjectionRow } from '../model/projection';
import { search, type SearchHit } from './search';
import type { SearchOptions } from './search-query';
import { subscribe, type SubscribeOptions, type Subscriber, type Subscription } from './subscribe';
import { ProjectionWaits } from './wait-for';

export interface ClientOptions<Entities extends readonly AnyEntity[]> {
  readonly model: Model<Entities>;
  /** PostgreSQL, for reads and `waitFor`; best a login that only reads. */
  readonly databaseUrl: string;
  /** PostgreSQL, for `subscribe`: login `reprise_feed`. Default: `databaseUrl`. */
  readonly feedUrl?: string;
  /** As `loadClientConnectConfig` of @temporalio/envconfig gives it. */
  readonly temporal: { readonly connection: ConnectionOptions; readonly namespace: string };
  /** Before every workflow id: tells apart systems that share a namespace. Default none. */
  readonly idPrefix?: string;
  /** Where the entity workers listen. Default: the queue of this prefix. */
  readonly taskQueue?: string;
  /** Connections for reads. Default 4. */
  readonly poolMax?: number;
}

type Camel<Name extends string> = Name extends `${infer Head}-${infer Tail}`
  ? `${Head}${Capitalize<Camel<Tail>>}`
  : Name;

/** The way in: a method per entity type, named for it (`order`, `salesOrder`). */
export type RepriseClient<Entities extends readonly AnyEntity[]> = {
  readonly [E in Entities[number] as Camel<E['name']>]: (id: string) => EntityHandle<E>;
} & {
  /** Searches the read model that declares a search (`in` names it, when several do), best first. */
  readonly search: <Row extends object = ProjectionRow>(
    text: string,
    options?: SearchOptions,
  ) => Promise<SearchHit<Row>[]>;
  /**
   * Every published event in its public shape, at least once and in order per entity, straight from the log: the way
   * without a broker. `name` keeps its place across restarts; any number of names. Handle it with `makeInbox` of
   * `reprise/consumer` where twice would matter.
   */
  readonly subscribe: (name: string, subscriber: Subscriber, options?: SubscribeOptions) => Subscription;
  /** Ends subscriptions; finishes nothing else under way: await your sends first. */
  readonly close: () => Promise<void>;
};

// A coalesced update: well below the 2 MiB a payload may have, and no larger than a workflow takes in one batch.
const SEND_COMMANDS_MAX = 256;

// A workflow task answers to all the updates it took with what was in them, in one request, and the server takes none over
// 4 MB: with four processes at 1.2 MB each the task failed until it timed out, 10 s at a time. Ten (all that Temporal lets
// in) stay below. One command may be larger, and then goes alone.
const SEND_BYTES_MAX = 350_000;

const RESERVED = ['close', 'search', 'subscribe', 'then'];

/** Connects, checks that database and namespace belong together, and gives a client typed from the model. */
export async function createClient<const Entities extends readonly AnyEntity[]>(
  options: ClientOptions<Entities>,
): Promise<RepriseClient<Entities>> {
  const { model, databaseUrl, temporal, idPrefix = '' } = options;
  const taskQueue = options.taskQueue ?? idPrefix + ENTITY_QUEUE;
  const db = openPool({ url: databaseUrl, max: options.poolMax ?? 4, applicationName: 'reprise-client' });
  const connection = await connectTemporal(temporal.connection);
  const client = new Client({ connection, namespace: temporal.namespace });
  const close = async () => {
    await Promise.all([connection.close(), db.end()]);
  };
  const { partitions, searchAttributes } = await greet(db, connection, client, idPrefix).catch(
    async (error: unknown) => {
      await close();
      throw error;
    },
  );
  const delivery: DeliverPorts = { temporal: client, open: new OpenWorkflows(), taskQueue, idPrefix, searchAttributes };
  const ports: HandlePorts = {
    model,
    db,
    partitions,
    idPrefix,
    ...makeQueues(delivery),
    waits: new ProjectionWaits(db),
  };
  const subscriptions: Subscription[] = [];
  return {
    ...entityMethods(model, ports),
    search: (text: string, asked?: SearchOptions) => search(db, model, text, asked),
    subscribe: (name: string, subscriber: Subscriber, subscribeOptions: SubscribeOptions = {}) => {
      const subscription = subscribe(
        { model, url: options.feedUrl ?? databaseUrl },
        name,
        subscriber,
        subscribeOptions,
      );
      subscriptions.push(subscription);
      return subscription;
    },
    close: async () => {
      await Promise.all(subscriptions.map(({ stop }) => stop()));
      await close();
    },
  } as unknown as RepriseClient<Entities>;
}

/** What a client must know before its first send; throws when database and namespace do not belong together. */
async function greet(db: Pool, connection: Connection, client: Client, idPrefix: string) {
  const { databaseId, partitions } = await readIdentity(db);
  await bindDatabase(client, { idPrefix, databaseId });
  return { partitions, searchAttributes: await hasSearchAttributes(connection, client.options.namespace) };
}

function makeQueues(delivery: DeliverPorts): Pick<HandlePorts, 'sends' | 'posts'> {
  const bounds = {
    bytesOf: ({ message }: QueuedCommand) => bytesOf(message),
    itemsMax: SEND_COMMANDS_MAX,
    bytesMax: SEND_BYTES_MAX,
  };
  // Those past their deadline have been told so; a send goes on for the one that waits longest.
  const last = (queued: readonly QueuedCommand[]) => Math.max(...queued.map(({ deadline }) => deadline));
  const messages = (queued: readonly QueuedCommand[]) => queued.map(({ message }) => message);
  return {
    sends: new Coalescer({
      ...bounds,
      send: (workflowId, queued) => deliver(delivery, workflowId, messages(queued), last(queued)),
    }),
    posts: new Coalescer({
      ...bounds,
      send: async (workflowId, queued) => {
        await deliverPosts(delivery, workflowId, messages(queued), last(queued));
        return queued.map(() => true);
      },
    }),
  };
}

/** `sales-order` -> `salesOrder`. */
export const methodOf = (entityType: string): string =>
  entityType.replace(/-([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());

function entityMethods(model: Model, ports: HandlePorts): Record<string, (id: string) => unknown> {
  const methods: Record<string, (id: string) => unknown> = {};
  for (const entity of model.entities) {
    const name = methodOf(entity.name);
    if (RESERVED.includes(name)) throw new Error(`entity '${entity.name}' takes the client's own name '${name}'`);
    methods[name] = (id) => makeEntityHandle(ports, entity, id);
  }
  return methods;
}
