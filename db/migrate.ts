import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client, type Pool } from 'pg';
import type { Model } from '../model/model';
import { ensureGenerations } from './generations';
import { ensureRoles } from './roles';

export interface MigrateOptions {
  readonly model: Model;
  /** Into how many partitions a new log is cut; a database keeps what it was created with. Default 64, or what it has. */
  readonly partitions?: number;
  /** We made the database, so its logins get derived passwords. */
  readonly owned: boolean;
  readonly log?: (line: string) => void;
}

export interface Migrated {
  readonly applied: readonly string[];
  /** How many were in before. */
  readonly already: number;
}

interface Migration {
  readonly id: number;
  readonly name: string;
  readonly sql: string;
  readonly checksum: string;
}

interface AppliedRow {
  readonly id: number;
  readonly name: string;
  readonly checksum: string;
}

const PARTITIONS_DEFAULT = 64;
const FOLDER = join(__dirname, 'migrations');

// Any fixed number: two starters at once take turns.
const MIGRATION_LOCK = 7_370_915;

/** Brings a database to this version: roles, migrations in order, its identity, the model's read models. */
export async function migrate(url: string, options: MigrateOptions): Promise<Migrated> {
  const client = new Client({ connectionString: url, application_name: 'reprise-migrate' });
  await client.connect();
  try {
    await client.query('select pg_advisory_lock($1::bigint)', [MIGRATION_LOCK]);
    await ensureRoles(client, { ownerUrl: url, owned: options.owned });
    await prepareSchemas(client);
    const before = await appliedMigrations(client);
    const applied = await applyMissing(client, before, options.log);
    await ensureIdentity(client, options.partitions);
    await ensureGenerations(client, options.model);
    return { applied, already: before.length };
  } finally {
    await client.end();
  }
}

/** Names of migrations a database lacks. Throws when it is newer than this code. */
export async function pendingMigrations(db: Pool): Promise<string[]> {
  const { rows } = await db.query<AppliedRow>('select id, name, checksum from reprise.migrations order by id');
  return missingFrom(rows).map(({ name }) => name);
}

async function prepareSchemas(client: Client): Promise<void> {
  await client.query(`
    create schema if not exists reprise;
    create schema if not exists read;
    create table if not exists reprise.migrations (
      id integer primary key, name text not null, checksum text not null, applied_at timestamptz not null default now()
    )`);
}

async function appliedMigrations(client: Client): Promise<AppliedRow[]> {
  const { rows } = await client.query<AppliedRow>('select id, name, checksum from reprise.migrations order by id');
  return rows;
}

async function applyMissing(client: Client, applied: readonly AppliedRow[], log?: (line: string) => void) {
  const missing = missingFrom(applied);
  for (const { id, name, sql, checksum } of missing) {
    await client.query('begin');
    try {
      // First its row, then its work: a second starter without the lock would stop here.
      await client.query(
        'insert into reprise.migrations (id, name, checksum) values ($1::integer, $2::text, $3::text)',
        [id, name, checksum],
      );
      await client.query('set local search_path = reprise');
      await client.query(sql);
      await client.query('commit');
    } catch (error) {
      await client.query('rollback');
      throw error;
    }
    log?.(`applied migration ${name}`);
  }
  return missing.map(({ name }) => name);
}

/** What is still to apply, after checking that what was applied is what this code has. */
function missingFrom(applied: readonly AppliedRow[]): Migration[] {
  const known = readMigrations();
  for (const row of applied) {
    const same = known.find(({ id }) => id === row.id);
    if (!same) {
      throw new SchemaMismatch(
        `the database has migration ${row.name}, which this code does not know: it was migrated by a newer Reprise. Deploy that version, or a later one.`,
      );
    }
    if (same.checksum !== row.checksum) {
      throw new SchemaMismatch(
        `migration ${row.name} was edited after it was applied. Restore the file; a change is a new migration.`,
      );
    }
  }
  return known.slice(applied.length);
}

/** The database and this code do not fit together. */
export class SchemaMismatch extends Error {
  override readonly name = 'SchemaMismatch';
}

function readMigrations(): Migration[] {
  return readdirSync(FOLDER)
    .filter((file) => /^\d{4}_[a-z0-9_]+\.sql$/.test(file))
    .sort()
    .map((file) => {
      const sql = readFileSync(join(FOLDER, file), 'utf8');
      const checksum = createHash('sha256').update(sql).digest('hex');
      return { id: Number(file.slice(0, 4)), name: file.slice(0, -'.sql'.length), sql, checksum };
    });
}

async function ensureIdentity(client: Client, partitions: number | undefined): Promise<void> {
  await client.query('begin');
  await client.query('insert into reprise.identity (partitions) values ($1::smallint) on conflict do nothing', [
    partitions ?? PARTITIONS_DEFAULT,
  ]);
  await client.query(
    `insert into reprise.partitions (partition)
     select n from reprise.identity i, generate_series(0, i.partitions - 1) n on conflict do nothing`,
  );
  await client.query('commit');
  const { rows } = await client.query<{ partitions: number }>('select partitions from reprise.identity');
  const fixed = rows[0]?.partitions;
  if (partitions !== undefined && fixed !== partitions) {
    throw new SchemaMismatch(
      `this log is cut into ${fixed} partitions, fixed when the database was created; ${partitions} were asked for. A new cut needs a new database.`,
    );
  }
}
