import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { command } from '../../contracts/command';
import { event } from '../../contracts/event';
import { startBackfill, type BackfillHandle } from '../../client/backfills';
import type { BackfillRun } from '../../db/backfills';
import { backfill, csv, ndjson, type Backfill } from '../../model/backfill';
import { entity } from '../../model/entity';
import { model } from '../../model/model';
import { refuse } from '../../model/refusal';
import type { BackfillInput } from '../../workflows/backfill';
import type { Client } from '@temporalio/client';
import type { Pool } from 'pg';

const opened = event('account.opened', { data: z.strictObject({ owner: z.string() }) });
const moved = event('account.moved', { data: z.strictObject({ by: z.int(), text: z.string() }) });
const open = command('open', { data: z.strictObject({ owner: z.string() }) });
const move = command('move', { data: z.strictObject({ by: z.int(), text: z.string().default('') }) });

interface Account {
  readonly owner: string | null;
  readonly balance: number;
  /** Of what it has seen, in order: another order gives another one. */
  readonly seen: number;
}

/** Accounts, whose state depends on the order of what happened to them. */
const account = entity('account', {
  version: 1,
  commands: [open, move],
  events: [opened, moved],
  refusals: {
    'account.open_already': 'It is open.',
    'account.not_open': 'Open it first.',
    'account.empty': 'No cover.',
  },
  initial: { owner: null, balance: 0, seen: 0 } as Account,
  decide: {
    open: (state, { owner }) => (state.owner === null ? [opened({ owner })] : refuse('account.open_already')),
    move: (state, { by, text }) => {
      if (state.owner === null) return refuse('account.not_open');
      return state.balance + by < 0 ? refuse('account.empty') : [moved({ by, text })];
    },
  },
  evolve: {
    'account.opened': (state, { owner }): Account => ({ ...state, owner }),
    'account.moved': (state, { by }): Account => {
      if (state.owner === null) throw new Error('an account begins with account.opened');
      return { ...state, balance: state.balance + by, seen: (state.seen * 31 + by) % 1_000_003 };
    },
  },
});

export const accounts = model({ entities: [account] });

const csvRow = z.object({
  id: z.string(),
  account: z.string(),
  what: z.enum(['open', 'move']),
  by: z.string().regex(/^-?\d+$/, 'a whole number'),
  text: z.string(),
  at: z.string(),
});

/** Rows of CSV, decided as commands. */
export const bookings = backfill('bookings', {
  source: csv(),
  row: csvRow,
  id: (row) => row.id,
  map: ({ account: id, what, by, text, at: occurredAt }) => {
    if (text === 'throw') throw new Error('this mapping cannot go on');
    const said = what === 'open' ? open({ owner: text }) : move({ by: Number(by), text });
    return [{ entity: account, id, command: said, occurredAt }];
  },
});

/** Lines of JSON, taken as events. */
export const journal = backfill('journal', {
  source: ndjson(),
  row: z.object({
    n: z.int(),
    account: z.string(),
    open: z.string().optional(),
    by: z.int().optional(),
    text: z.string().optional(),
  }),
  id: ({ n }) => String(n),
  map: ({ account: id, open: owner, by = 0, text = '' }) => {
    const occurredAt = '2001-02-03T04:05:06.789012+01:00';
    return [
      { entity: account, id, occurredAt, events: [owner === undefined ? moved({ by, text }) : opened({ owner })] },
    ];
  },
});

export const both: readonly Backfill[] = [bookings, journal];
export { move, open };

/** A folder for files to be brought in. */
export function makeFolder() {
  const dir = mkdtempSync(join(tmpdir(), 'reprise-backfill-'));
  return {
    dir,
    write: (name: string, text: string | Buffer) => {
      const file = join(dir, name);
      writeFileSync(file, text);
      return file;
    },
    remove: () => rmSync(dir, { recursive: true, force: true }),
  };
}

const AT = '1999-12-31T23:59:59Z';
export const csvOf = (rows: readonly string[]): string =>
  ['id,account,what,by,text,at', ...rows.map((row) => `${row},${AT}`)].map((line) => `${line}\n`).join('');

interface Parts {
  readonly temporal: Client;
  readonly name: string;
}

type Wanted = Partial<Omit<BackfillInput, 'run'>> & { readonly name: string; readonly file: string | null };

/** Starts one as `reprise backfill start` does. */
export async function begin(
  system: Parts,
  { dryRun = false, publish = false, rate = null, rejectsFile, ...wanted }: Wanted,
): Promise<{ readonly run: string; readonly handle: BackfillHandle; readonly rejectsFile: string | null }> {
  const rejects = rejectsFile ?? (wanted.file === null ? null : `${wanted.file}.rejects.ndjson`);
  const input = { ...wanted, dryRun, publish, rate, rejectsFile: rejects };
  const started = await startBackfill({ temporal: system.temporal, idPrefix: system.name }, input);
  return { ...started, rejectsFile: rejects };
}

/** Brings a file in, to its end. */
export async function bringIn(system: Parts, wanted: Wanted): Promise<BackfillRun> {
  const { handle } = await begin(system, wanted);
  const ended = await handle.result();
  if (!ended) throw new Error('it ended before it began');
  return ended;
}

export const readRejectsOf = (file: string): Record<string, unknown>[] =>
  existsSync(`${file}.rejects.ndjson`)
    ? readFileSync(`${file}.rejects.ndjson`, 'utf8')
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line) as Record<string, unknown>)
    : [];

/** All that lies in the log and beside it, but for what each run has of its own: ids of rows, times of recording. */
export async function truthOf({ db }: { readonly db: Pool }) {
  const { rows: events } = await db.query(
    `select entity_id, version, event_id, type, data, command_id, origin, published_after, occurred_at, meta
     from reprise.events order by entity_type, entity_id, version`,
  );
  const { rows: states } = await db.query(
    'select entity_id, version, published_version, state from reprise.entities order by entity_id',
  );
  const { rows: commands } = await db.query(
    `select entity_id, command_id, body_hash, outcome, refusal_code, first_version, last_version
     from reprise.commands order by entity_id, command_id`,
  );
  return { events, states, commands };
}
