import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { findProject } from '../context';
import { CliFailure } from '../failure';
import { table, type Output } from '../output';

// A line of a service's journal. Each service may say more.
const entry = z.object({
  at: z.string(),
  call: z.string(),
  key: z.string(),
  bodyHash: z.string(),
  outcome: z.string(),
});

type Effect = z.infer<typeof entry> & { readonly service: string };

/** Every call that reached the outside services of this project, from their own journals: the judge of "once". */
export async function listEffects(
  output: Output,
  _args: readonly string[],
  options: Record<string, unknown>,
): Promise<void> {
  const key = options['key'] as string | undefined;
  const effects = readEffects(join(findProject().dir, 'outside'))
    .filter((effect) => key === undefined || effect.key === key)
    .sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0));
  const totals = totalsOf(effects);
  output.result({ effects, totals }, () => [
    ...table(
      effects.map(({ at, service, call, key: of, bodyHash, outcome }) => {
        return { at, service, call, outcome, key: plain(of), body: bodyHash.slice(0, BODY_HASH_SHOWN) };
      }),
    ),
    '',
    ...table(totals),
  ]);
}

// A Message-ID comes from whoever sent the mail; control characters would move a terminal's cursor.
const plain = (text: string): string => text.replace(/\p{Cc}/gu, '');

const BODY_HASH_SHOWN = 12;
const EXTENSION = '.ndjson';

function readEffects(dir: string): Effect[] {
  if (!existsSync(dir)) return [];
  return readdirSync(dir)
    .filter((file) => file.endsWith(EXTENSION))
    .flatMap((file) => readJournal(join(dir, file), file.slice(0, -EXTENSION.length)));
}

/** What stands behind the last line break is being written, or was torn by a crash: it is no call yet. */
function readJournal(file: string, service: string): Effect[] {
  const lines = readFileSync(file, 'utf8').split('\n').slice(0, -1);
  return lines.map((line, nth) => {
    const parsed = entry.safeParse(parseJson(line));
    if (parsed.success) return { service, ...parsed.data };
    throw new CliFailure('bad_journal', `${file}: line ${nth + 1} is not a call`, 'Move the file away to go on.');
  });
}

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

/** `executed_twice` counts what must not be. */
function totalsOf(effects: readonly Effect[]) {
  const calls = [...new Set(effects.map(({ call }) => call))].sort();
  return calls.map((call) => {
    const ofCall = effects.filter((effect) => effect.call === call);
    const executed = ofCall.filter(({ outcome }) => outcome === 'executed').map(({ key }) => key);
    const repeats = ofCall.filter(({ outcome }) => outcome === 'repeat').length;
    const twice = executed.length - new Set(executed).size;
    return { call, requests: ofCall.length, executed: executed.length, repeats, executed_twice: twice };
  });
}
