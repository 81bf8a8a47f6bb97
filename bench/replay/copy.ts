import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ClientBase } from 'pg';
import { from } from 'pg-copy-streams';

const CHUNK_CHARS = 256 * 1024;

/** Streams rows in COPY's text format into a table: `copyInto(client, 'reprise.events (partition, …)', rows)`. */
export async function copyInto(client: ClientBase, target: string, rows: Iterable<string>): Promise<void> {
  await pipeline(Readable.from(chunked(rows)), client.query(from(`copy ${target} from stdin`)));
}

// A write per row would cost more than the row.
function* chunked(rows: Iterable<string>): Generator<Buffer> {
  let chunk = '';
  for (const row of rows) {
    chunk += row;
    if (chunk.length < CHUNK_CHARS) continue;
    yield Buffer.from(chunk);
    chunk = '';
  }
  if (chunk !== '') yield Buffer.from(chunk);
}
