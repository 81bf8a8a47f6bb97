import type { Command } from 'commander';
import { makeOutput, type Output } from './output';

type Action = (output: Output, args: readonly string[], options: Record<string, unknown>) => Promise<void>;

/** A command with what all of them have: `--json`, `--debug`, and help after a wrong call. */
export function command(parent: Command, usage: string, description: string, action: Action): Command {
  const made = parent
    .command(usage)
    .description(description)
    .option('--json', 'one JSON object on stdout')
    .option('--debug', 'show the stack of an error')
    .showHelpAfterError("(see 'reprise --help')")
    .exitOverride();
  return made.action(async () => {
    const options = made.opts<Record<string, unknown>>();
    await action(makeOutput(options['json'] === true), made.args, options);
  });
}
