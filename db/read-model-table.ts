import type { PoolClient } from 'pg';
import type { ProjectionRow } from '../model/projection';

/** A generation's table as PostgreSQL has it. */
export interface ReadModelTable {
  /** Quoted and qualified: `read."order_summary__g1"`. */
  readonly name: string;
  readonly keyColumn: string;
  readonly columns: readonly ReadModelColumn[];
}

export interface ReadModelColumn {
  readonly name: string;
  /** The row's field: camelCase of the column. */
  readonly field: string;
  /** As `format_type` has it: `bigint`, `timestamp with time zone`, `text[]` … */
  readonly type: string;
}

/** Reads a generation's columns from the catalog. A table without a one-column primary key cannot be folded into. */
export async function describeTable(tx: Pick<PoolClient, 'query'>, tableName: string): Promise<ReadModelTable> {
  const { rows } = await tx.query<{ name: string; type: string; is_key: boolean }>(
    `select a.attname as name, format_type(a.atttypid, a.atttypmod) as type,
            coalesce(i.indkey[0] = a.attnum and i.indnkeyatts = 1, false) as is_key
     from pg_class c
     join pg_namespace n on n.oid = c.relnamespace and n.nspname = 'read'
     join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
     left join pg_index i on i.indrelid = c.oid and i.indisprimary
     where c.relname = $1::text order by a.attnum`,
    [tableName],
  );
  const key = rows.find((row) => row.is_key);
  if (!key)
    throw new Error(`read.${tableName} has no primary key of one column: declare one in the projection's table`);
  const columns = rows.map(({ name, type }) => ({ name, type, field: toField(name) }));
  return { name: `read.${quote(tableName)}`, keyColumn: key.name, columns };
}

/** A row of the table, by the names its declaration uses. */
export const toRow = (table: ReadModelTable, row: Record<string, unknown>): ProjectionRow =>
  Object.fromEntries(table.columns.map(({ name, field }) => [field, row[name]]));

export const toField = (column: string): string =>
  column.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
export const quote = (name: string): string => `"${name.replaceAll('"', '""')}"`;
