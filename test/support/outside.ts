import { readFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { JournalEntry } from '../../shop/outside/journal';
import { startChild, type Child } from './child';
import { until } from './until';

/** A service of the shop's outside, as a process of its own. */
export interface Outside {
  readonly address: string;
  readonly child: Child;
  /** Every call so far, oldest first. */
  readonly journal: () => readonly JournalEntry[];
  readonly file: string;
}

/** Starts one; its journal is kept in `dir`. */
export async function startOutside(
  service: 'payment-provider' | 'mail-sink',
  dir: string,
  env: Readonly<Record<string, string>> = {},
): Promise<Outside> {
  const child = startChild(`../../shop/outside/${service}.ts`, { OUTSIDE_DIR: dir, ...env });
  const { address } = await until(() => child.messages[0] as { readonly address: string } | undefined, {
    what: `${service} is up`,
  });
  const file = join(dir, `${service}.ndjson`);
  const journal = () =>
    readFileSync(file, 'utf8')
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as JournalEntry);
  return { address, child, journal, file };
}

/** A folder for journals, and how to be rid of it. */
export function outsideDir(): { readonly dir: string; readonly remove: () => void } {
  const dir = mkdtempSync(join(tmpdir(), 'reprise-outside-'));
  return { dir, remove: () => rmSync(dir, { recursive: true, force: true }) };
}
