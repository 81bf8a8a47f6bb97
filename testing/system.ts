import type { RepriseClient } from '../client/client';
import type { AnyEntity } from '../model/entity';
import type { Model } from '../model/model';
import { openParts, SystemOfParts } from './parts';
import type { TestServers } from './servers';

/** A running system of a test file's own: nothing it does is seen by another. */
export interface TestSystem<Entities extends readonly AnyEntity[]> {
  readonly client: RepriseClient<Entities>;
  /** The owner's login of its database: read models are in the schema `read`, facts in `reprise`. */
  readonly databaseUrl: string;
  readonly temporalAddress: string;
  /** Before every workflow id: the workflow of order 1 is `<prefix>order/1`. */
  readonly workflowIdPrefix: string;
  /** Stops client and workers, and drops the database. */
  readonly stop: () => Promise<void>;
}

/** Clones the servers' database, and runs an entity worker, the consumers of the model's projections and a client on it. */
export async function startTestSystem<const Entities extends readonly AnyEntity[]>(
  servers: Omit<TestServers, 'stop'>,
  model: Model<Entities>,
): Promise<TestSystem<Entities>> {
  const system = new SystemOfParts(model, await openParts(servers));
  try {
    await Promise.all([system.startEntityWorker(), system.startConsumers()]);
    return {
      client: await system.client(),
      databaseUrl: system.database.url,
      temporalAddress: system.address,
      workflowIdPrefix: system.name,
      stop: () => system.close(),
    };
  } catch (error) {
    await system.close();
    throw error;
  }
}
