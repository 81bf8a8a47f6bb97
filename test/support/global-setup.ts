import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { bundleWorkflowCode, DefaultLogger } from '@temporalio/worker';
import { model } from '../../shop/model';
import { startTestServers, type TestServers } from '../../testing/servers';
import { findBrokers } from './find-brokers';

declare global {
  var repriseTestServers: TestServers | undefined;
}

const DIR = resolve(__dirname, '../../.reprise/test');
const NO_ADDRESS = join(DIR, 'temporal.toml');

/** One PostgreSQL, one Temporal server and one workflow bundle for the whole run, all of our own. */
export default async function globalSetup(): Promise<void> {
  // Configured systems are not for tests: what a test writes goes only into what this run started.
  mkdirSync(DIR, { recursive: true });
  for (const name of Object.keys(process.env)) {
    if (name.startsWith('DATABASE_URL') || (name.startsWith('TEMPORAL_') && name !== 'TEMPORAL_CLI'))
      delete process.env[name];
  }
  writeFileSync(NO_ADDRESS, '[profile.default]\n');
  process.env['TEMPORAL_CONFIG_FILE'] = NO_ADDRESS;
  const [servers] = await Promise.all([
    startTestServers(DIR, model, (line) => process.stderr.write(`${line}\n`)),
    bundleWorkflows(),
  ]);
  const { found, amqpUrl } = await findBrokers();
  process.env['REPRISE_TEST_BROKERS'] = found.join(',');
  process.env['REPRISE_TEST_AMQP_URL'] = amqpUrl;
  globalThis.repriseTestServers = servers;
  process.env['REPRISE_TEST_DATABASE_URL'] = servers.databaseUrl;
  process.env['REPRISE_TEST_TEMPLATE'] = servers.template;
  process.env['REPRISE_TEST_TEMPORAL'] = servers.temporalAddress;
}

async function bundleWorkflows(): Promise<void> {
  const { code } = await bundleWorkflowCode({
    workflowsPath: require.resolve('../../workflows/index.ts'),
    logger: new DefaultLogger('ERROR'),
  });
  const file = join(DIR, `workflows-${process.pid}.js`);
  writeFileSync(file, code);
  process.env['REPRISE_WORKFLOW_BUNDLE'] = file;
}
