import type { PoolClient } from 'pg';
import { quote } from '../../db/read-model-table';

/** A generation's table, for comparing: generated columns are columns like others. */
export interface ComparedTable {
  /** Quoted and qualified: `read."order_summary__g1"`. */
  readonly name: string;
  /** Quoted. */
  readonly key: string;
  readonly keyType: string;
  readonly types: ReadonlyMap<string, string>;
}

/** Reads the catalog: whoever compares may be allowed to read rows and nothing else. */
export async function readComparedTable(db: Pick<PoolClient, 'query'>, tableName: string): Promise<ComparedTable> {
  const { rows } = await db.query<{ name: string; type: string; is_key: boolean }>(
    `select a.attname as name, format_type(a.atttypid, a.atttypmod) as type,
            coalesce(a.attnum = any(i.indkey), false) as is_key
     from pg_class c
     join pg_namespace n on n.oid = c.relnamespace and n.nspname = 'read'
     join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
     left join pg_index i on i.indrelid = c.oid and i.indisprimary
     where c.relname = $1::text order by a.attnum`,
    [tableName],
  );
  const key = rows.find((row) => row.is_key);
  if (!key) throw new Error(`read.${tableName} is not there, or has no primary key`);
  const types = new Map(rows.map(({ name, type }) => [name, type]));
  return { name: `read.${quote(tableName)}`, key: quote(key.name), keyType: key.type, types };
}

/** How the columns of one table differ from those of another, and what both have: that is compared. */
export interface Columns {
  readonly shared: readonly string[];
  readonly added: readonly string[];
  readonly removed: readonly string[];
  readonly retyped: readonly { readonly name: string; readonly from: string; readonly to: string }[];
}

export function compareColumns(active: ComparedTable, built: ComparedTable): Columns {
  const shared = [...active.types.keys()].filter((name) => built.types.has(name));
  return {
    shared,
    added: [...built.types.keys()].filter((name) => !active.types.has(name)),
    removed: [...active.types.keys()].filter((name) => !built.types.has(name)),
    retyped: shared
      .map((name) => ({ name, from: active.types.get(name) ?? '', to: built.types.get(name) ?? '' }))
      .filter(({ from, to }) => from !== to),
  };
}
