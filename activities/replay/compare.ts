import type { PoolClient } from 'pg';
import { quote } from '../../db/read-model-table';
import type { ComparedTable } from './columns';
import type { Pair } from './snapshot';

export interface Compared {
  readonly active: ComparedTable;
  readonly built: ComparedTable;
  /** Columns that both have. */
  readonly shared: readonly string[];
}

/** Which rows: those with keys behind one and up to another (null: no bound), without some. */
export interface Scope {
  readonly after: string | null;
  readonly upTo: string | null;
  readonly without: readonly string[];
}

export const ALL: Omit<Scope, 'without'> = { after: null, upTo: null };

const KINDS = ['missing', 'extra', 'different'] as const;
export type DifferenceKind = (typeof KINDS)[number];

/** A row that only the active table has is missing, one that only the built table has is extra. */
export interface Sample {
  readonly key: string;
  readonly kind: DifferenceKind;
  /** Long values are cut. */
  readonly active: Readonly<Record<string, unknown>> | null;
  readonly built: Readonly<Record<string, unknown>> | null;
  readonly changed: readonly string[];
}

export interface Differences {
  /** Rows of either table. */
  readonly rows: number;
  readonly missing: number;
  readonly extra: number;
  readonly different: number;
  readonly samples: readonly Sample[];
}

export const SAMPLES_MAX = 20;
const VALUE_CHARS_MAX = 500;
const BUCKETS = 1_024;

/** By hash: one aggregate per table, side by side; what differs there row by row. Nothing of a row that is alike travels. */
export async function compareTables(pair: Pair, compared: Compared, scope: Scope): Promise<Differences> {
  const [active, built] = await Promise.all([
    readBuckets(pair.active, compared.active, compared, scope),
    readBuckets(pair.built, compared.built, compared, scope),
  ]);
  const numbers = [...new Set([...active.keys(), ...built.keys()])];
  const differing = numbers.filter((number) => active.get(number)?.content !== built.get(number)?.content);
  const builtRows = [...built.values()].reduce((sum, { rows }) => sum + rows, 0);
  if (differing.length === 0) return { rows: builtRows, missing: 0, extra: 0, different: 0, samples: [] };
  const found = await compareRows(pair.active, compared, { ...scope, buckets: differing });
  return { ...found, rows: builtRows + found.missing };
}

interface Bucket {
  readonly rows: number;
  /** Equal for equal rows. */
  readonly content: string;
}

async function readBuckets(
  db: PoolClient,
  table: ComparedTable,
  { shared }: Compared,
  scope: Scope,
): Promise<ReadonlyMap<number, Bucket>> {
  const { rows } = await db.query<{ bucket: number; rows: number; hashes: string }>(
    `select ${bucketOf(table)} as bucket, count(*) as rows, bit_xor(${hashOf(shared)})::text as hashes
     from ${table.name} where ${inScope(table)} group by 1`,
    [scope.after, scope.upTo, scope.without],
  );
  return new Map(rows.map((row) => [row.bucket, { rows: row.rows, content: `${row.rows} ${row.hashes}` }]));
}

/** On one connection, and in the database: however many rows differ, only figures and samples come here. */
async function compareRows(
  db: PoolClient,
  { active, built, shared }: Compared,
  { after, upTo, without, buckets }: Scope & { readonly buckets: readonly number[] },
): Promise<Omit<Differences, 'rows'>> {
  const side = (table: ComparedTable) => `
    select ${table.key}::text as key, ${hashOf(shared)} as hash from ${table.name}
    where ${inScope(table)} and ${bucketOf(table)} = any($4::integer[])`;
  const { rows } = await db.query<{ counts: Partial<Record<DifferenceKind, number>>; samples: Sample[] }>(
    `with differing as materialized (
       select key, case when b.hash is null then 'missing' when a.hash is null then 'extra' else 'different' end as kind
       from (${side(active)}) a full join (${side(built)}) b using (key)
       where a.hash is distinct from b.hash
     ), shown as (
       select key, kind from (${KINDS.map(firstOf).join(' union all ')}) firsts order by nth, kind limit $5::integer
     )
     select coalesce((select jsonb_object_agg(kind, n) from (
                        select kind, count(*) as n from differing group by kind) c), '{}') as counts,
            coalesce((select jsonb_agg(to_jsonb(s)) from (${samplesOf({ active, built, shared })}) s), '[]') as samples`,
    [after, upTo, without, buckets, SAMPLES_MAX, VALUE_CHARS_MAX, shared],
  );
  const { counts = {}, samples = [] } = rows[0] ?? {};
  return { missing: counts.missing ?? 0, extra: counts.extra ?? 0, different: counts.different ?? 0, samples };
}

// Of each kind its first, without sorting all.
const firstOf = (kind: DifferenceKind): string => `
  select *, row_number() over (order by key) as nth
  from (select * from differing where kind = '${kind}' order by key limit $5::integer) ${kind}`;

const samplesOf = ({ active, built }: Compared): string => `
  select s.key, s.kind, ${cut('a')} as active, ${cut('b')} as built,
         coalesce((select jsonb_agg(name) from unnest($7::text[]) as name
                   where s.kind = 'different' and to_jsonb(a) -> name is distinct from to_jsonb(b) -> name), '[]') as changed
  from shown s
  left join ${active.name} a on a.${active.key} = s.key::${active.keyType}
  left join ${built.name} b on b.${built.key} = s.key::${built.keyType}
  order by s.kind, s.key`;

const cut = (row: string): string => `
  (select jsonb_object_agg(name, case when length(value::text) > $6::integer
                                      then to_jsonb(left(value::text, $6::integer) || '…') else value end)
   from jsonb_each(to_jsonb(${row})) as e (name, value))`;

// As text, since not every type has a hash (tsvector has none), and text tells 1.0 from 1.00.
const hashOf = (columns: readonly string[]): string =>
  `hashtextextended(row(${columns.map(quote).join(', ')})::text, 0)`;
const bucketOf = ({ key }: ComparedTable): string => `(hashtextextended(${key}::text, 0) & ${BUCKETS - 1})::integer`;
const inScope = ({ key, keyType }: ComparedTable): string => `
  ($1::text is null or ${key} > $1::text::${keyType}) and ($2::text is null or ${key} <= $2::text::${keyType})
  and ${key}::text <> all($3::text[])`;

/** The key that ends the next range, of so many rows in either table at most; null: the rest are fewer. */
export async function readRangeEnd(
  db: PoolClient,
  { active, built }: Compared,
  after: string | null,
  rowsMax: number,
): Promise<string | null> {
  const nth = ({ name, key, keyType }: ComparedTable) => `
    (select ${key} as key from ${name} where $1::text is null or ${key} > $1::text::${keyType}
     order by ${key} offset $2::integer - 1 limit 1)`;
  const { rows } = await db.query<{ key: string }>(
    `select key::text as key from (${nth(active)} union all ${nth(built)}) ends order by ends.key limit 1`,
    [after, rowsMax],
  );
  return rows[0]?.key ?? null;
}
