import { randomBytes } from 'node:crypto';
import { Client, Connection } from '@temporalio/client';
import { DefaultLogger, NativeConnection, Runtime } from '@temporalio/worker';
import type { Pool } from 'pg';
import type { CommitWatch } from '../activities/commit';
import type { ConsumerWatch } from '../activities/watch';
import { createClient, type RepriseClient } from '../client/client';
import { makeCommandSender } from '../client/send-command';
import type { Backfill } from '../model/backfill';
import type { AnyEntity } from '../model/entity';
import type { Model } from '../model/model';
import type { AnyReaction } from '../model/reaction';
import { runBackfillWorker } from '../workers/backfill';
import { runConsumersWorker } from '../workers/consumers';
import { runEntityWorker } from '../workers/entity';
import { runReactionsWorker } from '../workers/reactions';
import type { Running } from '../workers/running';
import { openClonedDatabase, type TestDatabase } from './database';
import type { TestServers } from './servers';

const NAMESPACE = 'default';

interface ReactionsOverrides {
  readonly ports?: unknown;
  readonly processesPath?: string;
  /** Another one is another Temporal: it knows none of the runs. */
  readonly idPrefix?: string;
  readonly model?: Model;
  /** Another way to the same database. */
  readonly databaseUrl?: string;
}

interface ConsumersOverrides {
  readonly model?: Model;
  readonly env?: NodeJS.ProcessEnv;
  readonly parkedMax?: number;
  readonly watch?: WatchOf;
}

type WatchOf = (consumer: string) => ConsumerWatch;

/** What a system is made of before anything of it runs: a database, a way to Temporal, and a name of its own. */
export async function openParts(servers: Omit<TestServers, 'stop'>): Promise<Parts> {
  const { databaseUrl, template, temporalAddress: address } = servers;
  logErrorsOnly();
  const temporal = new Client({ connection: await Connection.connect({ address }), namespace: NAMESPACE });
  try {
    const database = await openClonedDatabase(databaseUrl, template);
    return { database, temporal, address, name: `t${randomBytes(5).toString('hex')}-` };
  } catch (error) {
    await temporal.connection.close();
    throw error;
  }
}

let isQuiet = false;

/** Workers tell every step of their lives; a test wants to hear of trouble only. A runtime installed before stays. */
function logErrorsOnly(): void {
  if (isQuiet) return;
  isQuiet = true;
  try {
    Runtime.install({ logger: new DefaultLogger('ERROR') });
  } catch {
    // It has been installed, or used: by the test itself.
  }
}

export interface Parts {
  readonly database: TestDatabase;
  readonly temporal: Client;
  readonly address: string;
  /** Before every workflow id and task queue. */
  readonly name: string;
}

/** Starts workers and clients one by one, and stops them all together. */
export class SystemOfParts<const Entities extends readonly AnyEntity[]> {
  private readonly running: Running[] = [];
  private readonly connections: NativeConnection[] = [];
  private readonly clients: { close: () => Promise<void> }[] = [];

  constructor(
    readonly model: Model<Entities>,
    private readonly parts: Parts,
  ) {}

  get database(): TestDatabase {
    return this.parts.database;
  }

  /** The owner's. */
  get db(): Pool {
    return this.database.db;
  }

  get temporal(): Client {
    return this.parts.temporal;
  }

  get name(): string {
    return this.parts.name;
  }

  get address(): string {
    return this.parts.address;
  }

  get entityQueue(): string {
    return `${this.name}entity`;
  }

  /** Each worker its own, as in processes of their own: one connection takes one worker per queue. */
  private async connect(): Promise<NativeConnection> {
    const connection = await NativeConnection.connect({ address: this.address });
    this.connections.push(connection);
    return connection;
  }

  async startEntityWorker(
    overrides: { databaseUrl?: string; model?: Model; watch?: CommitWatch } = {},
  ): Promise<Running> {
    const running = await runEntityWorker({
      model: this.model,
      connection: await this.connect(),
      namespace: NAMESPACE,
      databaseUrl: this.database.urlOf('commit'),
      taskQueue: this.entityQueue,
      ...overrides,
    });
    this.running.push(running);
    return running;
  }

  async startConsumers(overrides: ConsumersOverrides = {}): Promise<Running> {
    const running = await runConsumersWorker({
      model: this.model,
      connection: await this.connect(),
      client: this.temporal,
      namespace: NAMESPACE,
      databaseUrl: this.database.urlOf('project'),
      relayUrl: this.database.urlOf('relay'),
      idPrefix: this.name,
      ...overrides,
    });
    this.running.push(running);
    return running;
  }

  async startReactions(
    reactions: readonly AnyReaction[],
    { ports = {}, processesPath, idPrefix = this.name, model = this.model, databaseUrl }: ReactionsOverrides = {},
  ): Promise<Running> {
    const client = await this.client();
    const running = await runReactionsWorker({
      model,
      reactions,
      ports,
      ...(processesPath === undefined ? {} : { processesPath }),
      connection: await this.connect(),
      client: this.temporal,
      namespace: NAMESPACE,
      databaseUrl: databaseUrl ?? this.database.urlOf('react'),
      send: makeCommandSender(client),
      idPrefix,
    });
    this.running.push(running);
    return running;
  }

  async startBackfillWorker(
    backfills: readonly Backfill[],
    overrides: { readonly env?: NodeJS.ProcessEnv } = {},
  ): Promise<Running> {
    const running = await runBackfillWorker({
      model: this.model,
      backfills,
      connection: await this.connect(),
      namespace: NAMESPACE,
      databaseUrl: this.database.urlOf('commit'),
      idPrefix: this.name,
      ...overrides,
    });
    this.running.push(running);
    return running;
  }

  async client(): Promise<RepriseClient<Entities>> {
    const client = await createClient({
      model: this.model,
      databaseUrl: this.database.urlOf('read'),
      temporal: { connection: { address: this.address }, namespace: NAMESPACE },
      idPrefix: this.name,
      taskQueue: this.entityQueue,
    });
    this.clients.push(client);
    return client;
  }

  async close(): Promise<void> {
    await Promise.all(this.clients.map((client) => client.close()));
    await Promise.all(this.running.map((running) => running.stop()));
    await Promise.all(this.connections.map((connection) => connection.close()));
    await this.temporal.connection.close();
    await this.database.drop();
  }
}
