import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from '@nats-io/transport-node';
import { freePort } from '../embedded/ports';

export interface BenchNats {
  readonly url: string;
  readonly stop: () => void;
}

/** A NATS server of the bench's own, with a file store; null without a `nats-server` on the PATH. */
export async function startNats(): Promise<BenchNats | null> {
  const dir = mkdtempSync(join(tmpdir(), 'reprise-bench-nats-'));
  const port = await freePort(14_223);
  const child = spawn('nats-server', ['-a', '127.0.0.1', '-p', String(port), '-js', '-sd', dir], { stdio: 'ignore' });
  const spawned = await new Promise<boolean>((resolve) => {
    child.once('spawn', () => resolve(true));
    child.once('error', () => resolve(false));
  });
  if (!spawned) {
    rmSync(dir, { recursive: true, force: true });
    return null;
  }
  const url = `nats://127.0.0.1:${port}`;
  const probe = await connect({ servers: url, waitOnFirstConnect: true, maxReconnectAttempts: 20 });
  await probe.close();
  return {
    url,
    stop: () => {
      child.once('exit', () => rmSync(dir, { recursive: true, force: true }));
      child.kill('SIGKILL');
    },
  };
}
