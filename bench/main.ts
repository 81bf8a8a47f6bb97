import { parseArgs } from 'node:util';
import { benchCommands } from './commands';
import { benchIdle } from './idle';
import { benchProjector } from './projector';
import { benchReactions } from './reactions';
import { benchRelay } from './relay';
import { benchReplay } from './replay';
import { tell } from './report';

const BENCHES = {
  commands: benchCommands,
  relay: benchRelay,
  projector: benchProjector,
  reactions: benchReactions,
  replay: benchReplay,
  idle: benchIdle,
} as const;

/** `npm run bench -- commands | relay | projector | reactions | replay | idle [--json] [--short]`. */
async function main(): Promise<void> {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: { json: { type: 'boolean', default: false }, short: { type: 'boolean', default: false } },
  });
  const [name = ''] = positionals;
  if (!Object.hasOwn(BENCHES, name)) {
    process.stderr.write(`usage: npm run bench -- <${Object.keys(BENCHES).join(' | ')}> [--json] [--short]\n`);
    process.exitCode = 2;
    return;
  }
  const bench = BENCHES[name as keyof typeof BENCHES];
  const report = await bench((line) => process.stderr.write(`${line}\n`), { short: values.short });
  process.stdout.write(`${tell(report, values.json)}\n`);
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  process.exitCode = 1;
});
