import { createInterface } from 'node:readline/promises';
import { CliFailure } from './failure';

/** Asks before something is lost. Without a terminal to ask at, `--yes` is needed. */
export async function confirm(question: string, options: Readonly<Record<string, unknown>>): Promise<void> {
  if (options['yes'] === true) return;
  if (!process.stdin.isTTY) throw new CliFailure('not_confirmed', question, 'Say --yes to go on.', 2);
  const asking = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await asking.question(`${question} [y/N] `);
  asking.close();
  if (!/^y(es)?$/i.test(answer.trim())) throw new CliFailure('not_confirmed', 'Nothing was changed.');
}
