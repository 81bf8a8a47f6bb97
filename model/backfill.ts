import type { z } from 'zod';
import type { Command } from '../contracts/command';
import type { NewEvent } from '../contracts/event';
import type { AnyEntity } from './entity';

/** Comma-separated values: UTF-8 with or without a BOM, LF or CRLF, the columns' names in the first row. */
export interface CsvSource {
  readonly kind: 'csv';
  readonly delimiter: string;
}

/** A JSON value per line, in UTF-8. */
export interface NdjsonSource {
  readonly kind: 'ndjson';
}

/** A query on another PostgreSQL database, read in pages by a unique key. */
export interface SqlSource {
  readonly kind: 'sql';
  /** The environment variable with its address; only the worker reads it, and it is stored nowhere. */
  readonly urlVariable: string;
  readonly query: string;
  /** A column of the query: unique, not null, and what is read in the order of. */
  readonly key: string;
}

export type Source = CsvSource | NdjsonSource | SqlSource;

export const csv = ({ delimiter = ',' }: { readonly delimiter?: string } = {}): CsvSource => ({
  kind: 'csv',
  delimiter,
});
export const ndjson = (): NdjsonSource => ({ kind: 'ndjson' });
export const sqlQuery = (of: Omit<SqlSource, 'kind'>): SqlSource => ({ kind: 'sql', ...of });

interface BroughtTo {
  readonly entity: AnyEntity;
  readonly id: string;
  /** When it happened: ISO 8601 with a zone. */
  readonly occurredAt: string;
}

/** What a row says of an entity: a command, decided as a live one is; or events, decided elsewhere and taken by `evolve`. */
export type Brought = BroughtTo &
  ({ readonly command: Command } | { readonly events: readonly [NewEvent, ...NewEvent[]] });

export interface BackfillDefinition<Row extends z.ZodType> {
  readonly source: Source;
  /** A row as it must be; one that is not is rejected. Of CSV every field is text. */
  readonly row: Row;
  /** What a row is known by in its source: brought once, however often it is read. At most 100 bytes. */
  readonly id: (row: z.output<Row>) => string;
  /** What it comes to; nothing is a valid answer. Pure, and what it throws rejects the row. */
  readonly map: (row: z.output<Row>) => readonly Brought[];
}

/** A way for history from elsewhere into the log, as the engine sees it. */
export interface Backfill {
  readonly kind: 'backfill';
  readonly name: string;
  readonly source: Source;
  readonly row: z.ZodType;
  readonly id: (row: unknown) => string;
  readonly map: (row: unknown) => readonly Brought[];
}

const BACKFILL_NAME = /^[a-z][a-z0-9-]{0,62}$/;

/** Declares how rows of a file or query become commands or events. */
export function backfill<Row extends z.ZodType>(name: string, definition: BackfillDefinition<Row>): Backfill {
  if (!BACKFILL_NAME.test(name)) throw new Error(`backfill '${name}': a name is lower case letters, digits and dashes`);
  checkSource(name, definition.source);
  return { kind: 'backfill', name, ...(definition as unknown as Omit<Backfill, 'kind' | 'name'>) };
}

function checkSource(name: string, source: Source): void {
  if (source.kind === 'csv' && !/^[^"\r\n]$/.test(source.delimiter)) {
    throw new Error(`backfill '${name}': a delimiter is one character, and neither quote nor line break`);
  }
  if (source.kind === 'sql' && !/^[A-Z][A-Z0-9_]*$/.test(source.urlVariable)) {
    throw new Error(`backfill '${name}': urlVariable is the name of an environment variable, not an address`);
  }
}

/** The list of a project's backfills, checked as a whole. */
export function backfills<const List extends readonly Backfill[]>(list: List): List {
  const names = list.map((one) => one.name);
  const twice = names.find((name, nth) => names.indexOf(name) !== nth);
  if (twice !== undefined) throw new Error(`two declarations of backfill '${twice}'`);
  return list;
}
