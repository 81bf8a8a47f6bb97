import type { EventData, RecordedEvent } from '../contracts/event';
import type { AnyEntity, EventsOf } from './entity';

/** The body of a `create table`: columns and primary key, as SQL. */
export interface TableDdl {
  readonly kind: 'ddl';
  readonly text: string;
}

/** Marks SQL text as SQL, for editors and formatters; takes no values. */
export function sql(text: TemplateStringsArray): TableDdl {
  return { kind: 'ddl', text: text.join('').trim() };
}

type FoldOf<Row, Sources extends readonly AnyEntity[]> = {
  readonly [Type in EventsOf<Sources[number]>['type']]?: (
    row: Row,
    event: RecordedEvent<Type, EventData<Extract<EventsOf<Sources[number]>, { readonly type: Type }>>>,
  ) => Row | null;
};

/** How a read model is searched by words: the columns of its table that take part. */
export interface SearchDefinition {
  /** A `tsvector`, best generated and with a `gin` index. */
  readonly document: string;
  /** Text columns shown with what was found marked. */
  readonly headline: readonly string[];
  /** The text search configurations its documents are made with. Default `english`. */
  readonly languages?: readonly string[];
  /** A `regconfig` that says which of several made a row's document. */
  readonly languageColumn?: string;
}

export interface Search {
  readonly document: string;
  readonly headline: readonly string[];
  readonly languages: readonly string[];
  readonly languageColumn: string | null;
}

export interface ProjectionDefinition<Row, Sources extends readonly AnyEntity[]> {
  /** Raised when the meaning of the fold or the table changes. */
  readonly version: number;
  /** The entities whose events it folds. */
  readonly from: Sources;
  readonly table: TableDdl;
  /** What follows `create index on <table>`, of each index beside the primary key: sql`using gin (document)`. */
  readonly indexes?: readonly TableDdl[];
  /** Declared, it can be searched: `client.search('chai')`. */
  readonly search?: SearchDefinition;
  /**
   * The row an event belongs to, when it is not its entity's: a value of the table's one-column primary key.
   * Such a row is fed by several entities, so its folds must commute; `testing` has the check.
   */
  readonly key?: (event: RecordedEvent) => string;
  /** The row before its first event. */
  readonly initial: (key: string) => Row;
  /** Its keys are the list of events it takes; `null` removes the row. May be told twice by no fault of its own. */
  readonly fold: FoldOf<Row, Sources>;
}

/** A read model folded from events. Rows are plain objects: camelCase fields for the table's snake_case columns. */
export interface Projection<Name extends string = string> {
  readonly kind: 'projection';
  readonly name: Name;
  readonly version: number;
  readonly from: readonly string[];
  readonly table: string;
  readonly indexes: readonly string[];
  readonly search: Search | null;
  readonly events: readonly string[];
  readonly key: (event: RecordedEvent) => string;
  /** Each row is fed by one entity, whose events arrive in order; else rows are made first and locked. */
  readonly oneEntityPerRow: boolean;
  readonly initial: (key: string) => ProjectionRow;
  readonly fold: (row: ProjectionRow, event: RecordedEvent) => ProjectionRow | null;
}

export type ProjectionRow = Readonly<Record<string, unknown>>;

const PROJECTION_NAME = /^[a-z][a-z0-9_]{0,50}$/;

/** Declares a read model as a fold; live and replay run the same one. */
export function projection<const Name extends string, Row extends object, const Sources extends readonly AnyEntity[]>(
  name: Name,
  definition: ProjectionDefinition<Row, Sources>,
): Projection<Name> {
  if (!PROJECTION_NAME.test(name)) throw new Error(`projection '${name}': a name is lower case, digits, underscores`);
  if (!definition.key && definition.from.length !== 1) {
    throw new Error(`projection '${name}': rows fed by several entity types need a 'key'`);
  }
  const fold = definition.fold as unknown as Record<string, (row: Row, event: RecordedEvent) => Row | null>;
  return {
    kind: 'projection',
    name,
    version: definition.version,
    from: definition.from.map((source) => source.name),
    table: definition.table.text,
    indexes: (definition.indexes ?? []).map(({ text }) => text),
    search: definition.search ? toSearch(name, definition.search) : null,
    events: Object.keys(fold),
    key: definition.key ?? ((event) => event.entityId),
    oneEntityPerRow: definition.key === undefined,
    initial: definition.initial as (key: string) => ProjectionRow,
    fold: (row, event) => {
      const step = Object.hasOwn(fold, event.type) ? fold[event.type] : undefined;
      return step ? (step(row as Row, event) as ProjectionRow | null) : row;
    },
  };
}

function toSearch(name: string, definition: SearchDefinition): Search {
  const { document, headline, languages = ['english'], languageColumn = null } = definition;
  if (languages.length === 0) throw new Error(`projection '${name}': a search needs a language, like 'simple'`);
  if (languages.length > 1 && languageColumn === null) {
    throw new Error(`projection '${name}': a search in several languages needs a 'languageColumn'`);
  }
  return { document, headline, languages, languageColumn };
}
