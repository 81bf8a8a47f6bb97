/** How a command tells its result: an object for `--json`, lines for people. */
export interface Output {
  readonly json: boolean;
  /** One object on stdout with `--json`; else what `lines` gives. */
  readonly result: (data: unknown, lines: () => readonly string[]) => void;
  /** For people only, on stderr, so that stdout stays a result. */
  readonly note: (line: string) => void;
}

export function makeOutput(json: boolean): Output {
  return {
    json,
    result: (data, lines) => {
      process.stdout.write(
        json
          ? `${JSON.stringify(data)}\n`
          : lines()
              .map((line) => `${line}\n`)
              .join(''),
      );
    },
    note: (line) => {
      if (!json) process.stderr.write(`${line}\n`);
    },
  };
}

/** Columns aligned, numbers to the right; the header is the rows' keys. */
export function table(rows: readonly Readonly<Record<string, unknown>>[]): string[] {
  const [first] = rows;
  if (!first) return ['(none)'];
  const keys = Object.keys(first);
  const cells = rows.map((row) => keys.map((key) => show(row[key])));
  const numeric = keys.map((key) => rows.every((row) => typeof row[key] === 'number' || row[key] === null));
  const widths = keys.map((key, at) => Math.max(key.length, ...cells.map((row) => (row[at] ?? '').length)));
  const line = (row: readonly string[]) =>
    row
      .map((cell, at) => (numeric[at] ? cell.padStart(widths[at] ?? 0) : cell.padEnd(widths[at] ?? 0)))
      .join('  ')
      .trimEnd();
  return [line(keys), ...cells.map(line)];
}

function show(value: unknown): string {
  if (value === null || value === undefined) return '-';
  return typeof value === 'object' ? JSON.stringify(value) : String(value as string | number | boolean);
}
