import { chmod, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { removePostgres, startPostgres } from '../embedded/postgres';

/** Gives work a PostgreSQL of its own, gone afterwards, also when interrupted. */
export async function withScratchServer(work: (url: string) => Promise<void>): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'reprise-scratch-'));
  await chmod(dir, 0o755); // the server's user must pass
  const interrupted = new Promise<never>((_, reject) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.once(signal, () => reject(new Error(`interrupted by ${signal}`)));
    }
  });
  try {
    const server = await startPostgres({ dir });
    try {
      await Promise.race([work(server.url), interrupted]);
    } finally {
      await server.stop();
    }
  } finally {
    await removePostgres(dir);
  }
}
