/** Where the next row begins. Of a file by byte, of a query by the key of the row before. */
export interface Place {
  /** Rows before it. */
  readonly row: number;
  /** Of the file, from 1. */
  readonly line: number;
  readonly byte: number;
  readonly key: string | null;
}

export const AT_START: Place = { row: 0, line: 1, byte: 0, key: null };

/** A row as its source has it, or why it cannot be read. */
export interface SourceRow {
  /** 1, 2, 3 … */
  readonly row: number;
  /** Where it begins in its file; null of a query. */
  readonly line: number | null;
  readonly data: unknown;
  readonly problem: string | null;
  /** About as much memory as it takes. */
  readonly bytes: number;
  /** Behind it. */
  readonly next: Place;
}

export interface OpenSource {
  /** What `done` counts up to: bytes of a file, rows of a query; null where it would take too long to know. */
  readonly total: number | null;
  /** Changes when the source is another one; null of a query. */
  readonly stamp: string | null;
  readonly rows: (from: Place, rowsAtOnce: () => number) => AsyncGenerator<SourceRow>;
  readonly close: () => Promise<void>;
}

/** What no further try helps: the run has failed, and says why. */
export class BackfillFailed extends Error {
  override readonly name = 'BackfillFailed';

  constructor(
    readonly code: 'file_unreadable' | 'file_changed' | 'source_invalid' | 'unknown_backfill' | 'rejects_unwritable',
    message: string,
  ) {
    super(message);
  }
}

/** A row may be as large as this; one that is larger is rejected unread. */
export const ROW_BYTES_MAX = 16 * 1024 * 1024;
export const TOO_LARGE = `the row is larger than ${ROW_BYTES_MAX} bytes, or a quote in it is never closed`;
