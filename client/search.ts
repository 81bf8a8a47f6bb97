import type { Pool } from 'pg';
import { describeTable, quote, toField, toRow, type ReadModelTable } from '../db/read-model-table';
import type { Model } from '../model/model';
import type { Projection, ProjectionRow, Search } from '../model/projection';
import { projectionConsumer } from '../workflows/names';
import { InvalidSearch, toPage, toTerms, type SearchOptions } from './search-query';

/** A row of the read model, where it was found and how well it fits. */
export type SearchHit<Row extends object = ProjectionRow> = Row & {
  /** The row's key. */
  readonly key: string;
  /** 0 to 1, best first; comparable within one search only. */
  readonly rank: number;
  /** HTML: the declared columns, escaped, with what was found between `<mark>` and `</mark>`. */
  readonly highlights: Readonly<Record<string, string>>;
};

/**
 * Searches a read model by words: every word matches in the language of its row, the last also as a beginning.
 * Ties are in the order of keys. No hits for a text without a word; throws `InvalidSearch` for what cannot be asked.
 */
export async function search(db: Pool, model: Model, text: string, options: SearchOptions = {}): Promise<SearchHit[]> {
  const { projection, declared } = chooseProjection(model, options.in);
  const languages = chooseLanguages(declared, options.language);
  const page = toPage(options);
  const terms = toTerms(text);
  if (!terms) return [];
  const table = await describeTable(db, await activeTable(db, projection));
  const { rows } = await db.query<Found>(hitsOf(projection, declared, table), [
    languages,
    terms.words,
    terms.last,
    terms.prefix,
    page.limit,
    page.offset,
  ]);
  return rows.map((row) => toHit(declared, table, row));
}

function chooseProjection(model: Model, name: string | undefined): { projection: Projection; declared: Search } {
  const searchable = model.projections.flatMap((projection) =>
    projection.search ? [{ projection, declared: projection.search }] : [],
  );
  const known = searchable.map(({ projection }) => projection.name).join(', ') || 'none';
  const [first, ...others] = searchable.filter(({ projection }) => name === undefined || projection.name === name);
  if (!first && name !== undefined) {
    throw new InvalidSearch(`there is no read model '${name}' that declares a search; the model has ${known}`);
  }
  if (!first) throw new InvalidSearch('no read model declares a search');
  if (others.length > 0) throw new InvalidSearch(`which read model is searched? The model has ${known}`);
  return first;
}

function chooseLanguages({ languages }: Search, language: string | undefined): readonly string[] {
  if (language === undefined) return languages;
  if (languages.includes(language)) return [language];
  throw new InvalidSearch(`nothing is searched in '${language}'; there is ${languages.join(', ')}`);
}

async function activeTable(db: Pool, { name }: Projection): Promise<string> {
  const { rows } = await db.query<{ table_name: string }>({
    name: 'search_table',
    text: `select table_name from reprise.generations where consumer = $1::text and status = 'active'`,
    values: [projectionConsumer(name)],
  });
  const active = rows[0];
  if (!active) throw new Error(`projection '${name}' has no active generation: run 'reprise migrate'`);
  return active.table_name;
}

type Found = Readonly<Record<string, unknown>> & { readonly '#rank': number; readonly '#highlights': string[] };

// Longer documents do not win by their length (1), and a rank lies between 0 and 1 (32).
const RANK_NORMALIZATION = 1 | 32;

// Short texts are shown whole, of long ones the two places that fit best.
const SHOWN_WHOLE_CHARS_MAX = 250;
const MARKS = 'StartSel=<mark>, StopSel=</mark>';
const WHOLE = `${MARKS}, HighlightAll=true`;
const PARTS = `${MARKS}, MaxFragments=2, MaxWords=30, MinWords=10, FragmentDelimiter=" … "`;

/** One query per language, each by the index; names are the declaration's, everything said by a caller is a parameter. */
function hitsOf({ name }: Projection, declared: Search, table: ReadModelTable): string {
  const { document, headline, languageColumn } = declared;
  const key = quote(table.keyColumn);
  const columns = table.columns.map((column) => `h.${quote(column.name)}`).join(', ');
  return `
    with asked as (
      select language, plainto_tsquery(language, $2::text)
               && (plainto_tsquery(language, $3::text) || to_tsquery('simple', $4::text)) as query
      from unnest($1::text[]::regconfig[]) as l (language)
    ), hits as (
      select t.*, a.language as "#language", a.query as "#query",
             ts_rank_cd(t.${quote(document)}, a.query, ${RANK_NORMALIZATION}) as "#rank"
      from asked a
      join read.${quote(name)} t on t.${quote(document)} @@ a.query
        ${languageColumn === null ? '' : `and t.${quote(languageColumn)} = a.language`}
      order by "#rank" desc, t.${key} limit $5::integer offset $6::integer
    )
    select ${columns}, h."#rank"::float8, array[${headline.map(highlightOf).join(', ')}]::text[] as "#highlights"
    from hits h order by h."#rank" desc, h.${key}`;
}

/**
 * Escaped before anything is marked, so that `<mark>` is the only markup there can be. What only begins a word as it is
 * written is not found among stems: then it is marked as written.
 */
function highlightOf(column: string): string {
  const raw = `h.${quote(column)}`;
  const escaped = `replace(replace(replace(${raw}, '&', '&amp;'), '<', '&lt;'), '>', '&gt;')`;
  const options = `case when length(${raw}) <= ${SHOWN_WHOLE_CHARS_MAX} then '${WHOLE}' else '${PARTS}' end`;
  const marked = (language: string) => `ts_headline(${language}, ${escaped}, h."#query", ${options})`;
  return `(select case when s.text like '%<mark>%' then s.text else ${marked(`'simple'`)} end
           from (select ${marked('h."#language"')} as text offset 0) s)`;
}

function toHit({ headline }: Search, table: ReadModelTable, row: Found): SearchHit {
  const highlights = Object.fromEntries(
    headline.map((column, nth) => [toField(column), row['#highlights'][nth] ?? '']),
  );
  return { ...toRow(table, row), key: String(row[table.keyColumn]), rank: row['#rank'], highlights };
}
