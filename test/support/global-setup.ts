import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Connection } from '@temporalio/client';
import { bundleWorkflowCode, DefaultLogger } from '@temporalio/worker';
import { Client } from 'pg';
import { migrate } from '../../db/migrate';
import { startPostgres, type RunningPostgres } from '../../embedded/postgres';
import { startTemporal, type RunningTemporal } from '../../embedded/temporal';
import { model } from '../../shop/model';
import { registerSearchAttributes } from '../../workers/search-attributes';

declare global {
  var repriseTestServers: { postgres: RunningPostgres; temporal: RunningTemporal } | undefined;
}

const DIR = resolve(__dirname, '../../.reprise/test');
const TEMPLATE = 'reprise_template';

/** One PostgreSQL, one Temporal server and one workflow bundle for the whole run, all of our own. */
export default async function globalSetup(): Promise<void> {
  // Configured systems are not for tests: what a test writes goes only into what this run started.
  delete process.env['DATABASE_URL'];
  delete process.env['TEMPORAL_ADDRESS'];
  const log = (line: string) => process.stderr.write(`${line}\n`);
  const [postgres, temporal] = await Promise.all([
    startPostgres({ dir: join(DIR, 'postgres'), port: 54_321 }),
    startTemporal({ dir: join(DIR, 'temporal'), log }),
  ]);
  globalThis.repriseTestServers = { postgres, temporal };
  await Promise.all([makeTemplate(postgres.url), prepareTemporal(temporal), bundleWorkflows()]);
  process.env['REPRISE_TEST_DATABASE_URL'] = postgres.url;
  process.env['REPRISE_TEST_TEMPLATE'] = TEMPLATE;
  process.env['REPRISE_TEST_TEMPORAL'] = temporal.address;
}

async function makeTemplate(adminUrl: string): Promise<void> {
  const admin = new Client({ connectionString: adminUrl });
  await admin.connect();
  const { rows } = await admin.query<{ datname: string }>(
    `select datname from pg_database where datname like '${TEMPLATE}%'`,
  );
  for (const { datname } of rows) await admin.query(`drop database ${datname} with (force)`);
  await admin.query(`create database ${TEMPLATE}`);
  await admin.end();
  const url = new URL(adminUrl);
  url.pathname = `/${TEMPLATE}`;
  await migrate(url.toString(), { model, owned: true });
}

async function prepareTemporal(temporal: RunningTemporal): Promise<void> {
  const connection = await Connection.connect({ address: temporal.address });
  await registerSearchAttributes(connection, temporal.namespace);
  await connection.close();
}

async function bundleWorkflows(): Promise<void> {
  const { code } = await bundleWorkflowCode({
    workflowsPath: require.resolve('../../workflows/index.ts'),
    logger: new DefaultLogger('ERROR'),
  });
  mkdirSync(DIR, { recursive: true });
  const file = join(DIR, `workflows-${process.pid}.js`);
  rmSync(file, { force: true });
  writeFileSync(file, code);
  process.env['REPRISE_WORKFLOW_BUNDLE'] = file;
}
