import type { FileHandle } from 'node:fs/promises';
import { CsvError, parse } from 'csv-parse';
import type { CsvSource } from '../../model/backfill';
import { countLines, FileWindow, leadingBreaks } from './file-window';
import { BackfillFailed, ROW_BYTES_MAX, TOO_LARGE, type Place, type SourceRow } from './source';

export interface Header {
  readonly columns: readonly string[];
  readonly delimiter: string;
  /** Where the first row of data begins. */
  readonly next: Place;
}

/** The columns' names. Throws `BackfillFailed` when two are the same, or there is none. */
export async function readHeader(file: FileHandle, from: Place, { delimiter }: CsvSource): Promise<Header> {
  for await (const { fields, problem, next } of readRecords(file, from, delimiter)) {
    const twice = fields.find((name, at) => fields.indexOf(name) !== at);
    if (problem !== null) throw new BackfillFailed('source_invalid', `the columns' names, line 1: ${problem}`);
    if (twice !== undefined) throw new BackfillFailed('source_invalid', `two columns are named '${twice}'`);
    return { columns: fields, delimiter, next: { ...next, row: 0 } };
  }
  throw new BackfillFailed('source_invalid', 'the file is empty: its first row has the names of the columns');
}

/** Rows as objects, every field as text. A row that is not CSV, or has too many or too few fields, is a problem of its own. */
export async function* readCsv(
  file: FileHandle,
  from: Place,
  { columns, delimiter }: Header,
): AsyncGenerator<SourceRow> {
  for await (const { fields, problem, ...row } of readRecords(file, from, delimiter)) {
    const wrong = problem ?? problemOf(fields, columns);
    yield { ...row, problem: wrong, data: wrong === null ? toObject(columns, fields) : null };
  }
}

const toObject = (columns: readonly string[], fields: readonly string[]): unknown =>
  Object.fromEntries(columns.map((name, at) => [name, fields[at]]));

function problemOf(fields: readonly string[], columns: readonly string[]): string | null {
  if (fields.length !== columns.length)
    return `the row has ${fields.length} fields, the first row of the file ${columns.length}`;
  return fields.some((field) => field.includes('\uFFFD')) ? 'the row is not UTF-8' : null;
}

interface CsvRecord extends Omit<SourceRow, 'data'> {
  readonly fields: readonly string[];
}

/**
 * The parser stops at what is not CSV. Then that one line is the problem, and a new parser begins behind it: a quote that is
 * never closed would otherwise take the rows that follow with it.
 */
async function* readRecords(file: FileHandle, from: Place, delimiter: string): AsyncGenerator<CsvRecord> {
  for (let place = from; ;) {
    const beganAt = place.byte;
    const window = new FileWindow(file, beganAt);
    const { found, feed } = openParser(delimiter);
    let problem: string | null;
    do {
      problem = await feed(await window.more());
      for (const { fields, end } of found.splice(0)) {
        const record = take(window, place, beganAt + end - window.at);
        yield { ...record, fields, problem: null };
        place = record.next;
      }
    } while (problem === null && !window.ended);
    if (problem === null) return;
    const record = await takeLine(window, place);
    yield { ...record, fields: [], problem };
    place = record.next;
  }
}

/** The next record's place. Its lines are counted here: the parser counts a CRLF inside quotes twice. */
function take(window: FileWindow, { row, line }: Place, length: number): Omit<CsvRecord, 'fields' | 'problem'> {
  const bytes = window.bytes.subarray(0, length);
  const begins = line + countLines(bytes.subarray(0, leadingBreaks(bytes)));
  const ends = line + countLines(bytes);
  window.pass(length);
  return { row: row + 1, line: begins, bytes: length, next: { row: row + 1, line: ends, byte: window.at, key: null } };
}

async function takeLine(window: FileWindow, { row, line }: Place): Promise<Omit<CsvRecord, 'fields' | 'problem'>> {
  const blank = leadingBreaks(window.bytes);
  const begins = line + countLines(window.bytes.subarray(0, blank));
  window.pass(blank);
  const length = await window.line(ROW_BYTES_MAX);
  if (length !== null) window.pass(length);
  const next = { row: row + 1, line: begins + 1, byte: window.at, key: null };
  return { row: row + 1, line: begins, bytes: length ?? ROW_BYTES_MAX, next };
}

interface Found {
  readonly fields: readonly string[];
  /** In bytes, from where the parser began. */
  readonly end: number;
}

/** Finds records in what it is fed; nothing is the end of the file. Answers what is not CSV in it, or null. */
function openParser(delimiter: string) {
  const found: Found[] = [];
  const parser = parse({
    delimiter,
    // Not discovered: in the middle of a file the first break may be one inside quotes.
    record_delimiter: ['\r\n', '\n'],
    relax_column_count: true,
    skip_empty_lines: true,
    max_record_size: ROW_BYTES_MAX,
    on_record: (fields: string[], { bytes }) => {
      found.push({ fields, end: bytes });
      return null;
    },
  });
  parser.on('error', () => undefined); // told to whoever feeds it
  const feed = (chunk: Buffer) =>
    new Promise<string | null>((resolve, reject) => {
      const fed = (error?: Error | null) => {
        if (!error) resolve(null);
        else if (error instanceof CsvError) resolve(PROBLEMS[error.code] ?? 'the row is not CSV');
        else reject(error);
      };
      if (chunk.length > 0) parser.write(chunk, fed);
      else parser.end(fed);
    });
  return { found, feed };
}

const PROBLEMS: Readonly<Record<string, string>> = {
  CSV_INVALID_CLOSING_QUOTE: 'the row has a quote inside a quoted field that is not doubled',
  INVALID_OPENING_QUOTE: 'the row has a quote inside a field that is not quoted',
  CSV_QUOTE_NOT_CLOSED: 'the row has a quote that is never closed',
  CSV_MAX_RECORD_SIZE: TOO_LARGE,
};
