import type { PoolClient } from 'pg';
import type { Projection, ProjectionRow } from '../../model/projection';
import type { ChangedRows } from './fold';

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

/** The rows of these keys. Rows fed by several entities are made first and then locked in order: locking an absent row locks nothing. */
export async function loadRows(
  tx: PoolClient,
  projection: Projection,
  table: ReadModelTable,
  keys: readonly string[],
): Promise<Map<string, ProjectionRow>> {
  if (keys.length === 0) return new Map();
  const shared = !projection.oneEntityPerRow;
  if (shared) await insertMissing(tx, projection, table, keys);
  const { rows } = await tx.query<Record<string, unknown>>({
    name: `load ${table.name}`,
    text: `select ${table.columns.map(({ name }) => quote(name)).join(', ')} from ${table.name}
           where ${quote(table.keyColumn)} = any($1::text[]::${keyType(table)}[])
           ${shared ? `order by ${quote(table.keyColumn)} for update` : ''}`,
    values: [keys],
  });
  return new Map(rows.map((row) => [String(row[table.keyColumn]), toRow(table, row)]));
}

async function insertMissing(tx: PoolClient, projection: Projection, table: ReadModelTable, keys: readonly string[]) {
  const initial = new Map([...keys].sort().map((key) => [key, projection.initial(key)]));
  await tx.query(`${insertRows(table)} on conflict do nothing`, columnValues(table, initial));
}

/** Writes changed rows in one statement and removes removed ones in another. */
export async function writeRows(tx: PoolClient, table: ReadModelTable, changed: ChangedRows): Promise<void> {
  const kept = new Map<string, ProjectionRow>();
  const removed: string[] = [];
  for (const [key, row] of changed) {
    if (row) kept.set(key, row);
    else removed.push(key);
  }
  if (kept.size > 0) {
    const others = table.columns.filter(({ name }) => name !== table.keyColumn).map(({ name }) => quote(name));
    const update = others.map((name) => `${name} = excluded.${name}`).join(', ');
    await tx.query({
      name: `write ${table.name}`,
      text: `${insertRows(table)} on conflict (${quote(table.keyColumn)}) do ${update ? `update set ${update}` : 'nothing'}`,
      values: columnValues(table, kept),
    });
  }
  if (removed.length > 0) {
    await tx.query(`delete from ${table.name} where ${quote(table.keyColumn)} = any($1::text[]::${keyType(table)}[])`, [
      removed,
    ]);
  }
}

// Every column travels as text[] and is cast here, so that arrays and jsonb need no case of their own.
function insertRows({ name, columns }: ReadModelTable): string {
  const names = columns.map((column) => quote(column.name)).join(', ');
  const values = columns.map((column, index) => `v.c${index}::${column.type}`).join(', ');
  const params = columns.map((_, index) => `$${index + 1}::text[]`).join(', ');
  const aliases = columns.map((_, index) => `c${index}`).join(', ');
  return `insert into ${name} (${names}) select ${values} from unnest(${params}) as v (${aliases})`;
}

function columnValues({ columns }: ReadModelTable, rows: ReadonlyMap<string, ProjectionRow>): (string | null)[][] {
  const list = [...rows.values()];
  return columns.map(({ field, type }) => list.map((row) => toText(row[field], type)));
}

function toText(value: unknown, type: string): string | null {
  if (value === null || value === undefined) return null;
  if (type === 'jsonb' || type === 'json') return JSON.stringify(value);
  if (Array.isArray(value)) return `{${value.map(toArrayElement).join(',')}}`;
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint') return String(value);
  if (value instanceof Date) return value.toISOString();
  return JSON.stringify(value);
}

function toArrayElement(value: unknown): string {
  return value === null
    ? 'NULL'
    : `"${String(value as string | number | boolean)
        .replaceAll('\\', '\\\\')
        .replaceAll('"', '\\"')}"`;
}

const toRow = (table: ReadModelTable, row: Record<string, unknown>): ProjectionRow =>
  Object.fromEntries(table.columns.map(({ name, field }) => [field, row[name]]));

const toField = (column: string): string => column.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
const keyType = (table: ReadModelTable): string =>
  table.columns.find(({ name }) => name === table.keyColumn)?.type ?? 'text';
const quote = (name: string): string => `"${name.replaceAll('"', '""')}"`;
