import { createHash } from 'node:crypto';
import { closeSync, fdatasyncSync, ftruncateSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { canonicalJson } from '../../contracts/storable';

/** One call that reached the outside; `reprise effects ls` shows them. */
export interface JournalEntry {
  readonly at: string;
  readonly call: string;
  /** The caller's idempotency key. */
  readonly key: string;
  /** SHA-256, in hex, of what was asked, whatever order its fields were written in. */
  readonly bodyHash: string;
  /** `executed` once per key at most. Anything else changed nothing. */
  readonly outcome: 'executed' | 'repeat' | 'declined' | 'refused' | 'failed' | 'busy' | 'unanswered';
}

export interface Journal<Entry extends JournalEntry> {
  /** What was there when it was opened. */
  readonly entries: readonly Entry[];
  /** On disk when it returns. Throws, and leaves nothing, when it cannot be written. */
  readonly append: (entry: Entry) => void;
  readonly close: () => void;
}

/** The file of one service's calls: in OUTSIDE_DIR, else where `reprise start` keeps what belongs to a project. */
export const journalFile = (service: string, env: NodeJS.ProcessEnv): string =>
  join(resolve(env['OUTSIDE_DIR'] || join('.reprise', 'outside')), `${service}.ndjson`);

/** Opens an NDJSON file to add to it. A last line torn by a crash was never answered: it is cut off. */
export function openJournal<Entry extends JournalEntry>(file: string): Journal<Entry> {
  mkdirSync(dirname(file), { recursive: true });
  const fd = openSync(file, 'a+');
  const bytes = readFileSync(fd);
  let length = bytes.lastIndexOf('\n') + 1;
  ftruncateSync(fd, length);
  return {
    entries: parseLines(file, bytes.subarray(0, length).toString('utf8')),
    append: (entry) => {
      const line = Buffer.from(`${JSON.stringify(entry)}\n`);
      try {
        for (let written = 0; written < line.length;) written += writeSync(fd, line, written);
        fdatasyncSync(fd);
      } catch (error) {
        ftruncateSync(fd, length);
        throw error;
      }
      length += line.length;
    },
    close: () => closeSync(fd),
  };
}

function parseLines<Entry>(file: string, text: string): Entry[] {
  return text
    .split('\n')
    .slice(0, -1)
    .map((line, nth) => {
      try {
        return JSON.parse(line) as Entry;
      } catch (error) {
        throw new Error(`${file}: line ${nth + 1} is not JSON`, { cause: error });
      }
    });
}

export const hashOf = (body: unknown): string => createHash('sha256').update(canonicalJson(body)).digest('hex');
