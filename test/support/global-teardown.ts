import { rmSync } from 'node:fs';

export default async function globalTeardown(): Promise<void> {
  const bundle = process.env['REPRISE_WORKFLOW_BUNDLE'];
  if (bundle) rmSync(bundle, { force: true });
  // REPRISE_TEST_KEEP=1 leaves the servers running; the next run adopts them and starts seconds sooner.
  if (process.env['REPRISE_TEST_KEEP'] !== '1') await globalThis.repriseTestServers?.stop();
}
