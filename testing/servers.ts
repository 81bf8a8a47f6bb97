import { join } from 'node:path';
import { Connection } from '@temporalio/client';
import { Client } from 'pg';
import { migrate } from '../db/migrate';
import { startPostgres } from '../embedded/postgres';
import { startTemporal } from '../embedded/temporal';
import type { Model } from '../model/model';
import { registerSearchAttributes } from '../client/search-attributes';

export interface TestServers {
  /** The owner's login. */
  readonly databaseUrl: string;
  /** A migrated database to clone per test file with `cloneDatabase`. */
  readonly template: string;
  readonly temporalAddress: string;
  readonly stop: () => Promise<void>;
}

const TEMPLATE = 'reprise_template';

/** Real servers for a test run: PostgreSQL with a database of this model to clone, and Temporal. Started in `dir`, or adopted. */
export async function startTestServers(dir: string, model: Model, log?: (line: string) => void): Promise<TestServers> {
  const postgres = await startPostgres({ dir: join(dir, 'postgres'), port: 54_321 });
  const temporal = await startTemporal({ dir: join(dir, 'temporal'), ...(log ? { log } : {}) }).catch(
    async (error: unknown) => {
      await postgres.stop();
      throw error;
    },
  );
  const stop = async () => {
    try {
      await temporal.stop();
    } finally {
      await postgres.stop();
    }
  };
  try {
    await Promise.all([makeTemplate(postgres.url, model), prepareTemporal(temporal.address, temporal.namespace)]);
  } catch (error) {
    await stop();
    throw error;
  }
  return { databaseUrl: postgres.url, template: TEMPLATE, temporalAddress: temporal.address, stop };
}

async function makeTemplate(adminUrl: string, model: Model): Promise<void> {
  const admin = new Client({ connectionString: adminUrl });
  await admin.connect();
  try {
    const { rows } = await admin.query<{ datname: string }>(
      'select datname from pg_database where starts_with(datname, $1::text)',
      [TEMPLATE],
    );
    for (const { datname } of rows) await admin.query(`drop database ${admin.escapeIdentifier(datname)} with (force)`);
    await admin.query(`create database ${TEMPLATE}`);
  } finally {
    await admin.end();
  }
  const url = new URL(adminUrl);
  url.pathname = `/${TEMPLATE}`;
  await migrate(url.toString(), { model, owned: true });
}

async function prepareTemporal(address: string, namespace: string): Promise<void> {
  const connection = await Connection.connect({ address });
  await registerSearchAttributes(connection, namespace);
  await connection.close();
}
