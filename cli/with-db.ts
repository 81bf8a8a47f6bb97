import type { Pool } from 'pg';
import { openPool } from '../db/pool';
import { findContext } from './context';

/** One command's connection, by the login that only reads or the owner's. */
export async function withDb(login: 'read' | 'owner', work: (db: Pool) => Promise<void>): Promise<void> {
  const context = findContext();
  const url = login === 'read' ? context.urlOf('read') : context.databaseUrl;
  const db = openPool({ url, max: 1, applicationName: 'reprise-cli' });
  try {
    await work(db);
  } finally {
    await db.end();
  }
}
