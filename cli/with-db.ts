import type { Pool } from 'pg';
import { openPool } from '../db/pool';
import type { Role } from '../db/urls';
import { findContext } from './context';

/** One command's connection, by a role's login or the owner's. */
export async function withDb(login: Role | 'owner', work: (db: Pool) => Promise<void>): Promise<void> {
  const context = findContext();
  const url = login === 'owner' ? context.databaseUrl : context.urlOf(login);
  const db = openPool({ url, max: 1, applicationName: 'reprise-cli' });
  try {
    await work(db);
  } finally {
    await db.end();
  }
}
