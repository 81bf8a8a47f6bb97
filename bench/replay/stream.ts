import { StringDecoder } from 'node:string_decoder';
import type { Client } from 'pg';
import { to } from 'pg-copy-streams';
import { copyInto } from './copy';

interface Created {
  readonly customerId: string;
  readonly currency: string;
  readonly totalMinor: number;
  readonly freightMinor: number;
  readonly lines: readonly { readonly quantity: number }[];
}

interface Summary extends Omit<Created, 'lines'> {
  readonly lines: number;
  readonly units: number;
  status: string;
  createdAt: string;
  paidAt: string;
  shippedAt: string;
  cancelledAt: string;
  version: string;
}

const NULL = '\\N';

// Put in order in memory, eight at a time. One sort of the whole log: 22 s against 18 at 3 million events, in one run of a busy
// machine; no difference to be seen at 300,000, nor with one or four at a time.
const PARTITIONS_PER_QUERY = 8;

/**
 * What the language can do: read the log as streams, fold every order in memory, write the table as one stream. One process,
 * no checkpoint, nothing to resume. It knows its one table: it reads the data of the one event that needs it, and takes times
 * and versions from COPY to COPY as the text they are. Each reader is a connection; all partitions are shared out to them.
 */
export async function streamAll(readers: readonly [Client, Client], table: string): Promise<void> {
  const { rows } = await readers[0].query<{ partitions: number }>('select partitions from reprise.identity');
  const partitions = rows[0]?.partitions ?? NaN;
  const summaries = new Map<string, Summary>();
  let next = 0;
  await Promise.all(
    readers.map(async (reader) => {
      await reader.query(`set work_mem = '256MB'`);
      while (next < partitions) {
        const first = next;
        next += PARTITIONS_PER_QUERY;
        await readLines(reader, first, (line) => fold(summaries, line));
      }
      await reader.query('reset work_mem');
    }),
  );
  await copyInto(readers[0], table, rowsOf(summaries));
}

/** Some partitions in their order. COPY's text: a line a row, tabs between values, a backslash before what would be either. */
async function readLines(reader: Client, first: number, each: (line: string) => void): Promise<void> {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  // COPY takes no parameters.
  const log = reader.query(
    to(`copy (select entity_id, type, version, occurred_at, case when type = 'order.created' then data end
              from reprise.events
              where entity_type = 'order' and partition between ${first} and ${first + PARTITIONS_PER_QUERY - 1}
              order by partition, "offset") to stdout`),
  );
  for await (const chunk of log as AsyncIterable<Buffer>) {
    const text = rest + decoder.write(chunk);
    let from = 0;
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', from)) {
      each(text.slice(from, end));
      from = end + 1;
    }
    rest = text.slice(from);
  }
}

function fold(summaries: Map<string, Summary>, line: string): void {
  const [orderId = '', type, version = '', at = '', data = ''] = line.split('\t');
  if (type === 'order.created') {
    summaries.set(unescape(orderId), summaryOf(JSON.parse(unescape(data)) as Created, at, version));
    return;
  }
  const summary = summaries.get(unescape(orderId));
  if (!summary) throw new Error(`order ${orderId} begins with ${type}`);
  summary.version = version;
  if (type === 'order.paid') {
    summary.status = 'paid';
    summary.paidAt = at;
  } else if (type === 'order.shipped') {
    summary.status = 'shipped';
    summary.shippedAt = at;
  } else if (type === 'order.cancelled') {
    summary.status = 'cancelled';
    summary.cancelledAt = at;
  }
}

const summaryOf = (data: Created, createdAt: string, version: string): Summary => ({
  customerId: data.customerId,
  status: 'created',
  currency: data.currency,
  totalMinor: data.totalMinor,
  freightMinor: data.freightMinor,
  lines: data.lines.length,
  units: data.lines.reduce((sum, { quantity }) => sum + quantity, 0),
  createdAt,
  paidAt: NULL,
  shippedAt: NULL,
  cancelledAt: NULL,
  version,
});

/** In the columns' order, which is that of the declaration. */
function* rowsOf(summaries: ReadonlyMap<string, Summary>): Generator<string> {
  for (const [orderId, s] of summaries) {
    yield `${escape(orderId)}\t${escape(s.customerId)}\t${s.status}\t${s.currency}\t${s.totalMinor}\t${s.freightMinor}\t${s.lines}\t${s.units}\t${s.createdAt}\t${s.paidAt}\t${s.shippedAt}\t${s.cancelledAt}\t${s.version}\n`;
  }
}

const ESCAPES: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' };
const unescape = (text: string): string =>
  text.includes('\\') ? text.replace(/\\(.)/g, (_, letter: string) => ESCAPES[letter] ?? letter) : text;

const SPECIAL = /[\\\b\f\n\r\t\v]/;
const LETTERS: Readonly<Record<string, string>> = {
  '\\': '\\\\',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
};
const escape = (text: string): string =>
  SPECIAL.test(text) ? text.replace(/[\\\b\f\n\r\t\v]/g, (letter) => LETTERS[letter] ?? letter) : text;
