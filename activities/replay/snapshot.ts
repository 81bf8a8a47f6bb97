import type { Pool, PoolClient } from 'pg';

/** Two connections that see the database at one moment. */
export interface Pair {
  readonly active: PoolClient;
  readonly built: PoolClient;
}

/** Connected before anything is locked, so that the lock waits for no connection. */
export async function withPair<T>(db: Pool, work: (pair: Pair) => Promise<T>): Promise<T> {
  const clients = [await db.connect()];
  const broken = new Map<PoolClient, Error>();
  try {
    clients.push(await db.connect());
    for (const client of clients) client.on('error', (error: Error) => void broken.set(client, error));
    const [active, built] = clients;
    if (!active || !built) throw new Error('two connections were asked for');
    return await work({ active, built });
  } finally {
    for (const client of clients) {
      await client.query('rollback').catch((error: Error) => void broken.set(client, error));
      client.removeAllListeners('error');
      client.release(broken.get(client));
    }
  }
}

/**
 * Both see what is committed now. To be called while locks keep that from changing, and after what must be seen was
 * committed: one of the pair exports its snapshot and the other imports it, so neither depends on who holds the locks.
 */
export async function beginTogether({ active, built }: Pair, statementMsMax: number): Promise<void> {
  for (const client of [active, built]) {
    await client.query('rollback');
    await client.query('begin isolation level repeatable read read only');
  }
  const { rows } = await active.query<{ id: string }>('select pg_export_snapshot() as id');
  await built.query(`set transaction snapshot ${built.escapeLiteral(rows[0]?.id ?? '')}`);
  // One may have to wait for the other, which is no idle owner of a transaction.
  const limits = `set local statement_timeout = ${statementMsMax}; set local idle_in_transaction_session_timeout = ${4 * statementMsMax}`;
  await Promise.all([active.query(limits), built.query(limits)]);
}
