/**
 * Rows of an RFC 4180 text, by column name: quotes, commas and line breaks inside quotes, LF or CRLF, an optional BOM.
 * Throws on what is not CSV: a reader that skips over it would change amounts without a word.
 */
export function parseCsv(text: string): Record<string, string>[] {
  const [header = [], ...rows] = splitCsv(text.replace(/^\uFEFF/, ''));
  return rows.map((row, index) => {
    if (row.length !== header.length) {
      throw new Error(`row ${index + 2} has ${row.length} fields, the header ${header.length}`);
    }
    return Object.fromEntries(header.map((name, at) => [name, row[at] ?? '']));
  });
}

// A field, quoted or not, and what ends it. Sticky: each field begins where the one before ended.
const FIELD = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n|$)/gy;

function splitCsv(text: string): string[][] {
  const rows: string[][] = [];
  let row: string[] = [];
  for (const [whole, quoted, plain, end] of text.matchAll(FIELD)) {
    if (whole === '' && row.length === 0) return rows;
    row.push(quoted === undefined ? (plain ?? '') : quoted.replaceAll('""', '"'));
    if (end === ',') continue;
    rows.push(row);
    row = [];
    if (end === '') return rows;
  }
  throw new Error(`row ${rows.length + 1} is not CSV: a quote inside a field, or one that is never closed`);
}
