import type { Command } from 'commander';
import { command } from '../command';
import { listReplays, replayStatus, startReplays, watchReplayCommand } from '../commands/replay';
import {
  acceptReplay,
  dropReplay,
  rollbackReplay,
  showReport,
  switchReplay,
  verifyReplay,
} from '../commands/replay-ask';
import { cancelReplay, pauseReplay, resumeReplay, throttleReplay } from '../commands/replay-control';

const collect = (value: string, before: readonly string[] = []): string[] => [...before, value];

/** `reprise replay ...` */
export function describeReplay(program: Command): void {
  const replay = program.command('replay').description('read models built again from the log, beside those that serve');
  command(replay, 'start <projection...>', 'build the next generation; verify it; switch when told', startReplays)
    .option('--dry-run', 'start nothing; tell how much it is, how long it takes and what would refuse it')
    .option('--since <when>', 'only entities with events since a time, or partition:offset: their rows in a copy')
    .option('--entity-type <type>', 'only entities of this type; may be said again', collect)
    .option('--entity <type/id>', 'only this entity; may be said again', collect)
    .option('--rate <n>', "events per second at most, split evenly among the projections; or 'none' (none)")
    .option('--no-adaptive', 'do not slow down while commits or read models suffer')
    .option('--slices <n>', 'parts to fill side by side, for several workers', '1')
    .option('--switch', 'switch as soon as it is verified')
    .option('--max-different <share>', "rows of changed code that may differ, like '0.1%' or '0.001' (0)")
    .option('--grace <time>', 'how long the old generation stands by after the switch', '10m')
    .option('--reshape', 'let columns change or leave: the view is made anew')
    .option('--rehearsal', 'build and verify it, then remove it')
    .option('--detach', 'do not watch it');
  command(
    replay,
    'status [projection]',
    'replays that run, and how far they are; or the last of a projection',
    replayStatus,
  );
  command(replay, 'ls', 'the last replays, ended or not', listReplays);
  command(
    replay,
    'watch <projection>',
    'show its progress until it ends or waits; Ctrl-C leaves it alone',
    watchReplayCommand,
  );
  command(replay, 'pause <projection>', 'fill no further', pauseReplay);
  command(replay, 'resume <projection>', 'go on', resumeReplay);
  command(replay, 'throttle <projection> <rate>', "another rate, in events per second; or 'none'", throttleReplay)
    .option('--adaptive', 'slow down while commits or read models suffer')
    .option('--no-adaptive', 'do not');
  command(replay, 'cancel <projection>', 'give it up and remove what it built', cancelReplay).option(
    '--yes',
    'do not ask',
  );
  command(replay, 'verify <projection>', 'compare again with what serves', verifyReplay);
  command(replay, 'report <projection>', 'what the last verification found', showReport);
  command(replay, 'accept <projection>', 'let the differences it found be as they are', acceptReplay).option(
    '--yes',
    'do not ask',
  );
  command(replay, 'switch <projection>', 'let it serve', switchReplay);
  command(replay, 'rollback <projection>', 'let the old generation serve again', rollbackReplay);
  command(replay, 'drop <projection>', 'remove what was built; after the switch, what stands by', dropReplay).option(
    '--yes',
    'do not ask',
  );
}
