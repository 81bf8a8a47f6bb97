import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from 'pg';
import { model } from '../model/model';
import { dumpSchema } from './dump';
import { migrate } from './migrate';

const SCHEMA_FILE = join(__dirname, 'schema.sql');
const EMPTY_MODEL = model({ entities: [] });

/** Writes db/schema.sql from the migrations, on an empty database of our own. */
export async function writeSchema(emptyDatabaseUrl: string): Promise<void> {
  writeFileSync(SCHEMA_FILE, await schemaOf(emptyDatabaseUrl));
}

/** The first line in which db/schema.sql differs from what the migrations make, or null. */
export async function schemaDrift(emptyDatabaseUrl: string): Promise<string | null> {
  const made = (await schemaOf(emptyDatabaseUrl)).split('\n');
  const committed = readFileSync(SCHEMA_FILE, 'utf8').split('\n');
  const at = Array.from({ length: Math.max(made.length, committed.length) }, (_, line) => line).find(
    (line) => made[line] !== committed[line],
  );
  if (at === undefined) return null;
  return `line ${at + 1} is '${committed[at] ?? '(nothing)'}', the migrations make '${made[at] ?? '(nothing)'}'`;
}

async function schemaOf(url: string): Promise<string> {
  await migrate(url, { model: EMPTY_MODEL, owned: true });
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return await dumpSchema(client);
  } finally {
    await client.end();
  }
}
