import { rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { Connection } from '@temporalio/client';
import { migrate } from '../db/migrate';
import { removePostgres, startPostgres } from '../embedded/postgres';
import { endLeftTemporal, startTemporal } from '../embedded/temporal';
import { model } from '../shop/model';
import { registerSearchAttributes } from '../client/search-attributes';

export interface BenchServers {
  readonly databaseUrl: string;
  readonly temporalAddress: string;
  /** Of the postmaster. */
  readonly postgresPid: number;
  readonly temporalPid: number;
  readonly stop: () => Promise<void>;
}

const DIR = resolve(__dirname, '../.reprise/bench');

/** Fresh servers of our own: PostgreSQL at its defaults (fsync on) but for `settings`, Temporal as `reprise start` starts it. */
export async function startServers(
  log: (line: string) => void,
  settings: Readonly<Record<string, string>> = {},
): Promise<BenchServers> {
  await endLeftTemporal(join(DIR, 'temporal'));
  await removePostgres(join(DIR, 'postgres'));
  await rm(DIR, { recursive: true, force: true });
  const postgres = await startPostgres({ dir: join(DIR, 'postgres'), port: 54_322, log, settings });
  const temporal = await startTemporal({ dir: join(DIR, 'temporal'), log });
  await migrate(postgres.url, { model, owned: true });
  const connection = await Connection.connect({ address: temporal.address });
  await registerSearchAttributes(connection, temporal.namespace);
  await connection.close();
  return {
    databaseUrl: postgres.url,
    temporalAddress: temporal.address,
    postgresPid: postgres.pid,
    temporalPid: temporal.pid,
    stop: async () => {
      await temporal.stop();
      await postgres.stop();
      await removePostgres(join(DIR, 'postgres'));
      await rm(DIR, { recursive: true, force: true });
    },
  };
}
