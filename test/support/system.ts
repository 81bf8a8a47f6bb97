import { randomBytes } from 'node:crypto';
import { Client, Connection } from '@temporalio/client';
import { DefaultLogger, NativeConnection, Runtime } from '@temporalio/worker';
import type { Pool } from 'pg';
import type { CommitWatch } from '../../activities/commit';
import type { ConsumerWatch } from '../../activities/watch';
import { createClient, type RepriseClient } from '../../client/client';
import { openPool } from '../../db/pool';
import { roleUrl, type Role } from '../../db/urls';
import type { AnyEntity } from '../../model/entity';
import type { Model } from '../../model/model';
import { cloneDatabase } from '../../testing/database';
import { runConsumersWorker } from '../../workers/consumers';
import { runEntityWorker } from '../../workers/entity';
import type { Running } from '../../workers/running';

/** A database of a test file's own, with pools by role. */
export interface TestDatabase {
  readonly url: string;
  readonly urlOf: (role: Role) => string;
  /** The owner's. */
  readonly db: Pool;
  readonly drop: () => Promise<void>;
}

export async function testDatabase(): Promise<TestDatabase> {
  const clone = await cloneDatabase(required('REPRISE_TEST_DATABASE_URL'), required('REPRISE_TEST_TEMPLATE'));
  const db = openPool({ url: clone.url, max: 8, applicationName: 'reprise-test' });
  return {
    url: clone.url,
    urlOf: (role) => roleUrl(role, {}, { url: clone.url, owned: true }).url,
    db,
    drop: async () => {
      await db.end();
      await clone.drop();
    },
  };
}

let runtimeInstalled = false;

/** Database, Temporal and a name of its own for one test file. Workers and clients are started as a test needs them. */
export class TestSystem<const Entities extends readonly AnyEntity[]> {
  private readonly running: Running[] = [];
  private readonly connections: NativeConnection[] = [];
  private readonly clients: { close: () => Promise<void> }[] = [];

  private constructor(
    readonly model: Model<Entities>,
    readonly database: TestDatabase,
    readonly temporal: Client,
    /** Before every workflow id and task queue. */
    readonly name: string,
    readonly address: string,
  ) {}

  /** On the run's own Temporal server, or on one that a test may kill. */
  static async open<const Entities extends readonly AnyEntity[]>(
    model: Model<Entities>,
    address = required('REPRISE_TEST_TEMPORAL'),
  ): Promise<TestSystem<Entities>> {
    if (!runtimeInstalled) Runtime.install({ logger: new DefaultLogger('ERROR') });
    runtimeInstalled = true;
    const temporal = new Client({ connection: await Connection.connect({ address }) });
    return new TestSystem(model, await testDatabase(), temporal, `t${randomBytes(5).toString('hex')}-`, address);
  }

  get db(): Pool {
    return this.database.db;
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
      namespace: 'default',
      databaseUrl: this.database.urlOf('commit'),
      taskQueue: this.entityQueue,
      ...overrides,
    });
    this.running.push(running);
    return running;
  }

  async startConsumers(
    overrides: { model?: Model; env?: NodeJS.ProcessEnv; watch?: (consumer: string) => ConsumerWatch } = {},
  ): Promise<Running> {
    const running = await runConsumersWorker({
      model: this.model,
      connection: await this.connect(),
      client: this.temporal,
      namespace: 'default',
      databaseUrl: this.database.urlOf('project'),
      relayUrl: this.database.urlOf('relay'),
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
      temporal: { connection: { address: this.address }, namespace: 'default' },
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

export function required(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is set by test/support/global-setup.ts: run the tests with jest`);
  return value;
}
