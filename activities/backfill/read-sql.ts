import { DatabaseError, type Pool } from 'pg';
import { openPool } from '../../db/pool';
import type { SqlSource } from '../../model/backfill';
import { BackfillFailed, type OpenSource, type Place, type SourceRow } from './source';

const ROWS_AT_ONCE_MAX = 2_000;
const COUNT_MS_MAX = 5_000;
// About what a row of a table takes; nobody measures it twice.
const BYTES_OF_A_ROW = 500;
const KEY = 'reprise_key';

/** Opens a query on another database: read only, in pages by its key, each a statement of its own that holds no snapshot. */
export async function openQuery(source: SqlSource, env: NodeJS.ProcessEnv): Promise<OpenSource> {
  const url = env[source.urlVariable];
  if (!url) {
    throw new BackfillFailed('source_invalid', `${source.urlVariable} is not set where the backfill worker runs`);
  }
  const db = openPool({ url, max: 1, applicationName: 'reprise-backfill-source' });
  return {
    total: await countRows(db, source),
    stamp: null,
    rows: (from, rowsAtOnce) => readRows(db, source, from, rowsAtOnce),
    close: () => db.end(),
  };
}

/** Null where counting takes too long; trouble with the query shows when it is read. */
async function countRows(db: Pool, { query }: SqlSource): Promise<number | null> {
  try {
    const { rows } = await db.query<{ rows: number }>({
      text: `select count(*)::bigint as rows from (${query}) q`,
      ...{ query_timeout: COUNT_MS_MAX },
    });
    return rows[0]?.rows ?? null;
  } catch {
    return null;
  }
}

async function* readRows(
  db: Pool,
  source: SqlSource,
  from: Place,
  rowsAtOnce: () => number,
): AsyncGenerator<SourceRow> {
  for (let place = from; ;) {
    const limit = Math.min(rowsAtOnce(), ROWS_AT_ONCE_MAX);
    // One more than asked for: two rows of one key at the end of a page would else be one.
    const rows = await readPage(db, source, place.key, limit + 1);
    checkKeys(source, rows);
    for (const data of rows.slice(0, limit)) {
      const key = data[KEY];
      Reflect.deleteProperty(data, KEY);
      place = { ...place, row: place.row + 1, key };
      yield { row: place.row, line: null, data, problem: null, bytes: BYTES_OF_A_ROW, next: place };
    }
    if (rows.length <= limit) return;
  }
}

type Row = Record<string, unknown> & { [KEY]: string | null };

async function readPage(db: Pool, source: SqlSource, after: string | null, limit: number): Promise<Row[]> {
  // The project's own text, as its code is; what comes from rows is bound.
  const key = `q."${source.key.replaceAll('"', '""')}"`;
  const where = after === null ? '' : `where ${key} > $2`;
  try {
    const { rows } = await db.query<Row>(
      `select q.*, ${key}::text as ${KEY} from (${source.query}) q ${where} order by ${key} limit $1::integer`,
      after === null ? [limit] : [limit, after],
    );
    return rows;
  } catch (error) {
    throw asItsOwn(source, error);
  }
}

function checkKeys({ key }: SqlSource, rows: readonly Row[]): void {
  rows.forEach((row, at) => {
    if (row[KEY] === null) throw new BackfillFailed('source_invalid', `the key '${key}' is null in a row of the query`);
    if (at > 0 && row[KEY] === rows[at - 1]?.[KEY]) {
      throw new BackfillFailed('source_invalid', `the key '${key}' is not unique: two rows have ${row[KEY]}`);
    }
  });
}

/** Never its address, nor its text: both may hold what nobody else should read. */
function asItsOwn({ urlVariable }: SqlSource, error: unknown): Error {
  const { code = '', message = '' } = error as { code?: string; message?: string };
  const isPassing = !(error instanceof DatabaseError) || /^(08|53|57|40)/.test(code);
  if (isPassing) return new Error(`the database of ${urlVariable} cannot be reached (${code || 'no answer'})`);
  return new BackfillFailed('source_invalid', `the query of ${urlVariable} is refused: ${message} (${code})`);
}
