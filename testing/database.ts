import { randomBytes } from 'node:crypto';
import { Client } from 'pg';

/** A database of its own for a test file. */
export interface ClonedDatabase {
  /** The owner's login. */
  readonly url: string;
  readonly drop: () => Promise<void>;
}

/** Copies a migrated template database, in about 100 ms. Nothing else may be connected to the template. */
export async function cloneDatabase(adminUrl: string, template: string): Promise<ClonedDatabase> {
  const name = `${template}_${randomBytes(6).toString('hex')}`;
  await asAdmin(adminUrl, `create database ${name} template ${template}`);
  const url = new URL(adminUrl);
  url.pathname = `/${name}`;
  // A copy is another database: it must not pass for its template.
  await asAdmin(url.toString(), 'update reprise.identity set id = gen_random_uuid()');
  return { url: url.toString(), drop: () => asAdmin(adminUrl, `drop database if exists ${name} with (force)`) };
}

async function asAdmin(url: string, statement: string): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}
