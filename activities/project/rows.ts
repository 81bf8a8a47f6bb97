import type { PoolClient } from 'pg';
import { quote, toRow, type ReadModelTable } from '../../db/read-model-table';
import type { Projection, ProjectionRow } from '../../model/projection';
import type { ChangedRows } from './fold';

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
  return selectRows(tx, table, keys, shared ? `order by ${quote(table.keyColumn)} for update` : '');
}

/**
 * Those of these keys that are there. Planned each time, in a fraction of a millisecond: a plan that was kept from when the
 * table was empty reads all of it, which made a projector that was reset ten times slower.
 */
export async function selectRows(
  db: Pick<PoolClient, 'query'>,
  table: ReadModelTable,
  keys: readonly string[],
  locking = '',
): Promise<Map<string, ProjectionRow>> {
  const { rows } = await db.query<Record<string, unknown>>(
    `select ${table.columns.map(({ name }) => quote(name)).join(', ')} from ${table.name}
     where ${quote(table.keyColumn)} = any($1::text[]::${keyType(table)}[]) ${locking}`,
    [keys],
  );
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

/** A value as PostgreSQL reads it: null is SQL's null. */
export function toText(value: unknown, type: string): string | null {
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

const keyType = (table: ReadModelTable): string =>
  table.columns.find(({ name }) => name === table.keyColumn)?.type ?? 'text';
