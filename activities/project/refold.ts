import type { Pool, PoolClient } from 'pg';
import type { RecordedEvent } from '../../contracts/event';
import { quote, toRow, type ReadModelTable } from '../../db/read-model-table';
import type { Model } from '../../model/model';
import type { Projection, ProjectionRow } from '../../model/projection';
import { toText } from './rows';

type Db = Pick<Pool | PoolClient, 'query'>;

/** What a row is folded by. */
export interface Fold {
  readonly model: Model;
  readonly projection: Projection;
  readonly table: ReadModelTable;
}

/** A row's columns as PostgreSQL writes them, in the order of the table's. */
export type RowText = readonly (string | null)[];

/** An event that the projection takes, in its newest shape; null for others. Throws `BehindCode`, and what its upcast throws. */
export function takeEvent(
  { model, projection }: Pick<Fold, 'model' | 'projection'>,
  event: RecordedEvent,
): RecordedEvent | null {
  if (!projection.events.includes(event.type)) return null;
  return { ...event, data: model.decode(event.type, event.schemaVersion, event.data) };
}

/**
 * The slow path, which is the oracle for the fast one: one event, and the row it makes is read back as PostgreSQL has it
 * before the next. So also a fold is found out whose result depends on where a chunk ended. Null: it leaves no row.
 */
export async function foldSlowly(
  db: Db,
  { projection, table }: Fold,
  { key, row, event }: { readonly key: string; readonly row: ProjectionRow | null; readonly event: RecordedEvent },
): Promise<ProjectionRow | null> {
  const folded = projection.fold(row ?? projection.initial(key), event);
  return folded ? readBack(db, table, folded) : null;
}

async function readBack(db: Db, table: ReadModelTable, row: ProjectionRow): Promise<ProjectionRow> {
  const columns = table.columns.map(({ name, type }, nth) => `$${nth + 1}::text::${type} as ${quote(name)}`);
  const { rows } = await db.query<Record<string, unknown>>(`select ${columns.join(', ')}`, valuesOf(table, row));
  return toRow(table, rows[0] ?? {});
}

/** A row as it would stand there. */
export async function textOf(db: Db, table: ReadModelTable, row: ProjectionRow | null): Promise<RowText | null> {
  if (!row) return null;
  const columns = table.columns.map(({ type }, nth) => `$${nth + 1}::text::${type}::text`);
  const { rows } = await db.query<{ row: RowText }>(`select array[${columns.join(', ')}] as row`, valuesOf(table, row));
  return rows[0]?.row ?? null;
}

/** The rows that stand there, by key. */
export async function textsOf(
  db: Db,
  table: ReadModelTable,
  keys: readonly string[],
): Promise<ReadonlyMap<string, RowText>> {
  const key = table.columns.find(({ name }) => name === table.keyColumn);
  const { rows } = await db.query<{ key: string; row: RowText }>(
    `select ${quote(table.keyColumn)}::text as key, array[${table.columns.map(({ name }) => `${quote(name)}::text`).join(', ')}] as row
           from ${table.name} where ${quote(table.keyColumn)} = any($1::text[]::${key?.type ?? 'text'}[])`,
    [keys],
  );
  return new Map(rows.map(({ key, row }) => [key, row]));
}

const valuesOf = ({ columns }: ReadModelTable, row: ProjectionRow) =>
  columns.map(({ field, type }) => toText(row[field], type));

/** Columns in which two rows differ. */
export function differing({ columns }: ReadModelTable, one: RowText, other: RowText): string[] {
  return columns.filter((_, nth) => one[nth] !== other[nth]).map(({ name }) => name);
}
