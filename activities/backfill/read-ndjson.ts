import type { FileHandle } from 'node:fs/promises';
import { FileWindow } from './file-window';
import { ROW_BYTES_MAX, type Place, type SourceRow } from './source';

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** A row per line; blank lines are none. */
export async function* readNdjson(file: FileHandle, from: Place): AsyncGenerator<SourceRow> {
  const window = new FileWindow(file, from.byte);
  for (let { row, line } = from; ; line++) {
    const startedAt = window.at;
    const length = await window.line(ROW_BYTES_MAX);
    if (length === 0) return;
    const bytes = length === null ? null : window.bytes.subarray(0, length);
    if (length !== null) window.pass(length);
    if (bytes && isBlank(bytes)) continue;
    row += 1;
    yield {
      row,
      line,
      ...parse(bytes),
      bytes: Math.min(window.at - startedAt, ROW_BYTES_MAX),
      next: { row, line: line + 1, byte: window.at, key: null },
    };
  }
}

function parse(bytes: Buffer | null): Pick<SourceRow, 'data' | 'problem'> {
  if (!bytes) return { data: null, problem: `the line is longer than ${ROW_BYTES_MAX} bytes` };
  try {
    return { data: JSON.parse(utf8.decode(bytes)) as unknown, problem: null };
  } catch (error) {
    return { data: null, problem: error instanceof SyntaxError ? 'the line is not JSON' : 'the line is not UTF-8' };
  }
}

const isBlank = (bytes: Buffer): boolean => bytes.every((byte) => byte === 0x20 || (byte >= 0x09 && byte <= 0x0d));
