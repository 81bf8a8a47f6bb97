import { open, type FileHandle } from 'node:fs/promises';
import { hostname } from 'node:os';
import type { CsvSource, NdjsonSource } from '../../model/backfill';
import { readCsv, readHeader } from './read-csv';
import { readNdjson } from './read-ndjson';
import { AT_START, BackfillFailed, type OpenSource, type Place } from './source';

const BOM_BYTES = 3;

/** Opens a file that the worker, not only whoever asked, must be able to read. */
export async function openFile(source: CsvSource | NdjsonSource, path: string): Promise<OpenSource> {
  const file = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
    throw unreadable(path, error);
  });
  try {
    const stat = await file.stat();
    if (!stat.isFile()) throw new BackfillFailed('file_unreadable', `${path} is no file`);
    const start: Place = { ...AT_START, byte: await bomBytes(file, path) };
    const header = source.kind === 'csv' ? await readHeader(file, start, source) : null;
    return {
      total: stat.size,
      stamp: `${stat.size} bytes of ${stat.mtime.toISOString()}`,
      rows: (from) => {
        const isStart = from.byte === 0;
        return header
          ? readCsv(file, isStart ? header.next : from, header)
          : readNdjson(file, isStart ? { ...from, byte: start.byte } : from);
      },
      close: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function bomBytes(file: FileHandle, path: string): Promise<number> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(BOM_BYTES), 0, BOM_BYTES, 0).catch((error: unknown) => {
    throw unreadable(path, error as NodeJS.ErrnoException);
  });
  const head = buffer.subarray(0, bytesRead).toString('hex');
  if (head.startsWith('fffe') || head.startsWith('feff')) {
    throw new BackfillFailed('source_invalid', `${path} is in UTF-16: convert it to UTF-8`);
  }
  return head === 'efbbbf' ? BOM_BYTES : 0;
}

const unreadable = (path: string, { code }: NodeJS.ErrnoException): BackfillFailed =>
  new BackfillFailed(
    'file_unreadable',
    `${path} cannot be read by the backfill worker on ${hostname()} (${code ?? 'unknown'}): the file must be where the worker runs`,
  );
