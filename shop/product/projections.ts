import { projection, sql } from '../../model/projection';
import { LANGUAGES } from './contract';
import { product } from './entity';

export interface ProductSearchRow {
  readonly productId: string;
  readonly title: string;
  readonly body: string;
  readonly tags: readonly string[];
  readonly language: (typeof LANGUAGES)[number];
  readonly publishedAt: string | null;
  readonly revisedAt: string | null;
  readonly version: number;
}

/**
 * One row per published page, to be searched. Its columns are stable.
 * Each part is in `document` twice: as the language stems it, and as it is written. A stem alone would lose what is
 * still being typed: 'seasonin' begins 'seasoning', whose English stem is 'season'.
 */
export const productSearch = projection('product_search', {
  version: 1,
  from: [product],
  table: sql`
    product_id   text primary key,
    title        text not null,
    body         text not null,
    tags         text[] not null,
    language     regconfig not null,
    published_at timestamptz,
    revised_at   timestamptz,
    version      integer not null,
    document     tsvector not null generated always as (
      setweight(to_tsvector(language, title) || to_tsvector('simple', title), 'A') ||
      setweight(to_tsvector(language, reprise.words(tags)) || to_tsvector('simple', reprise.words(tags)), 'B') ||
      setweight(to_tsvector(language, body) || to_tsvector('simple', body), 'C')
    ) stored
  `,
  // Entries that wait in the index's pending list are read one by one, once per language: with 60,000 pages written and
  // not yet vacuumed a search took 175 ms, without the list 10 ms. Writing them took 6.0 s instead of 3.4.
  indexes: [sql`using gin (document) with (fastupdate = off)`],
  search: { document: 'document', headline: ['title', 'body'], languages: LANGUAGES, languageColumn: 'language' },
  initial: (productId): ProductSearchRow => ({
    productId,
    title: '',
    body: '',
    tags: [],
    language: 'english',
    publishedAt: null,
    revisedAt: null,
    version: 0,
  }),
  fold: {
    'page.published': (row, { data, occurredAt, version }): ProductSearchRow => ({
      ...row,
      ...data,
      publishedAt: occurredAt,
      revisedAt: null,
      version,
    }),
    'page.revised': (row, { data, occurredAt, version }): ProductSearchRow => ({
      ...row,
      ...data,
      revisedAt: occurredAt,
      version,
    }),
    'page.withdrawn': () => null,
  },
});
