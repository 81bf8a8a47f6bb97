import { pipeline } from 'node:stream/promises';
import { Readable } from 'node:stream';
import type { PoolClient } from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import { quote, type ReadModelTable } from '../../db/read-model-table';
import type { ProjectionRow } from '../../model/projection';
import { toText, writeRows } from '../project/rows';
import type { WriteBack } from './row-cache';

const COPY_ROWS = 500;

/** Rows that are not in the table yet by COPY, the others by key. */
export async function writeBack(tx: PoolClient, table: ReadModelTable, { first, others }: WriteBack): Promise<void> {
  if (first.length > 0) await copyRows(tx, table, first);
  if (others.size > 0) await writeRows(tx, table, others);
}

async function copyRows(
  tx: PoolClient,
  { name, columns }: ReadModelTable,
  rows: readonly (readonly [string, ProjectionRow])[],
): Promise<void> {
  const names = columns.map((column) => quote(column.name)).join(', ');
  await pipeline(Readable.from(copyText(rows, columns)), tx.query(copyFrom(`copy ${name} (${names}) from stdin`)));
}

function* copyText(rows: readonly (readonly [string, ProjectionRow])[], columns: ReadModelTable['columns']) {
  for (let at = 0; at < rows.length; at += COPY_ROWS) {
    let text = '';
    for (const [, row] of rows.slice(at, at + COPY_ROWS)) {
      text += `${columns.map(({ field, type }) => copyField(toText(row[field], type))).join('\t')}\n`;
    }
    yield text;
  }
}

const SPECIAL = /[\\\t\n\r]/g;
const ESCAPED: Readonly<Record<string, string>> = { '\\': '\\\\', '\t': '\\t', '\n': '\\n', '\r': '\\r' };

/** As COPY's text format has it (PostgreSQL, COPY, File Formats). */
const copyField = (text: string | null): string =>
  text === null ? '\\N' : text.replace(SPECIAL, (special) => ESCAPED[special] ?? special);
