import { Command, CommanderError, Option } from 'commander';
import { command } from './command';
import {
  cancelBackfill,
  listBackfills,
  pauseBackfill,
  resumeBackfill,
  showBackfill,
  startBackfillCommand,
  throttleBackfill,
  watchBackfillCommand,
} from './commands/backfill';
import { doctor } from './commands/doctor';
import { listEffects } from './commands/effects';
import { listEvents, showEntity, showEntityAt } from './commands/entity';
import { listFeeds, removeFeedCommand } from './commands/feed';
import { migrateCommand } from './commands/migrate';
import { listParked, redriveCommand, showParked, skipCommand } from './commands/parked';
import { listProjections, lockProjections, resetProjectionCommand } from './commands/projection';
import {
  listReactions,
  pauseReaction,
  recoverReaction,
  rerunReaction,
  resumeReaction,
  retryReaction,
  showReaction,
  skipReaction,
} from './commands/reaction';
import { reset } from './commands/reset';
import { schema } from './commands/schema';
import { searchCommand } from './commands/search';
import { addSinkCommand, listSinks, removeSinkCommand } from './commands/sink';
import { start } from './commands/start';
import { worker } from './commands/worker';
import { SINK_KINDS } from '../relay/open-sink';
import { toFailure } from './failure';
import { describeReplay } from './replay/describe';
import { describeAudit } from './audit/describe';
import { describeSchedule } from './schedule/describe';

/** Runs the command line. Exit codes: 0 done, 1 the run failed, 2 the call was wrong. */
export function run(argv: readonly string[]): void {
  const program = describeCommands();
  program.parseAsync(argv).catch((error: unknown) => {
    process.exitCode = report(error, argv.includes('--json'), argv.includes('--debug'));
  });
}

function describeCommands(): Command {
  const program = new Command('reprise')
    .description('Event-driven modeling on Temporal and PostgreSQL, designed for replay.')
    .showHelpAfterError("(see 'reprise --help')")
    .enablePositionalOptions()
    .exitOverride(); // before its commands, which copy it

  command(program, 'start', 'bring up PostgreSQL, Temporal and all workers; play the demo; stay up until Ctrl-C', start)
    .option('--no-demo', 'do not play the demo')
    .option('--demo-into <target>', 'play the demo into this configured database (its name), not one of our own')
    .option('--exit', 'stop everything once the demo has been played');
  command(program, 'worker <role>', "run one role's workers: entity, consumers, reactions, replay or backfill", worker);
  command(
    program,
    'migrate',
    'bring the database to this version and make what the model needs',
    migrateCommand,
  ).addOption(new Option('--partitions <n>', 'into how many partitions a new log is cut (64)'));
  command(program, 'doctor', 'check everything that must be right, and name the cure of what is not', doctor);

  const entity = program.command('entity').description("one entity's state, events and past");
  command(entity, 'show <type> <id>', 'its state now', showEntity);
  command(entity, 'events <type> <id>', 'its events, oldest first', listEvents);
  command(entity, 'at <type> <id> <moment>', 'its state at a version, or at a time of recording', showEntityAt).option(
    '--occurred',
    'the time is of occurring, not of recording',
  );

  const projection = program.command('projection').description('read models');
  command(projection, 'ls', 'read models, where they stand and how far behind', listProjections);
  command(
    projection,
    'reset <name>',
    'empty a read model and fold it again from the first event',
    resetProjectionCommand,
  ).option('--yes', 'do not ask');
  command(
    projection,
    'lock',
    'write down what the folds are and that their versions are right; commit the file',
    lockProjections,
  ).option('--check', 'compare, and fail where a fold changed and its version did not');
  command(program, 'search <text...>', 'find rows of a read model by words; the last may be a beginning', searchCommand)
    .option('--in <projection>', 'the read model to search, when several can be')
    .option('--language <language>', 'only what is written in it, like english')
    .option('--limit <n>', 'hits at most, 1 to 100 (20)');
  const sink = program.command('sink').description('brokers that published events go to');
  command(sink, 'ls', 'sinks, how much waits for them and since when', listSinks);
  command(sink, 'add <name>', 'publish every event committed from now on there too', addSinkCommand)
    .addOption(new Option('--kind <kind>', 'what it is; default: its name').choices(Object.keys(SINK_KINDS)))
    .option('--option <name=value...>', 'stream, prefix, exchange or bytesMax, where they differ from the defaults');
  command(sink, 'rm <name>', 'publish there no more; what waits for it is lost', removeSinkCommand).option(
    '--yes',
    'do not ask',
  );
  const feed = program.command('feed').description('subscriptions straight from the log');
  command(feed, 'ls', 'subscriptions, how far behind each is and what it holds back', listFeeds);
  command(feed, 'rm <name>', 'forget its place, once nobody subscribes by that name', removeFeedCommand).option(
    '--yes',
    'do not ask',
  );
  const parked = program.command('parked').description('entities held back for one consumer after a failure');
  command(parked, 'ls', 'failures by kind: how many entities, first and last time', listParked);
  command(parked, 'show <consumer> [entity]', 'the parked entities of a consumer, with their errors', showParked);
  command(
    parked,
    'redrive <consumer> [entity]',
    'let them go on, in order, from the event that failed',
    redriveCommand,
  );
  command(
    parked,
    'skip <consumer> <entity>',
    'pass over the event that failed, and go on behind it',
    skipCommand,
  ).option('--reason <text>', 'why; kept, and shown by every later replay');
  const effects = program.command('effects').description("calls that reached the project's outside services");
  command(effects, 'ls', 'each call with its key, and whether it was executed or a repeat', listEffects).option(
    '--key <key>',
    'only of this idempotency key',
  );
  describeReactions(program);
  describeReplay(program);
  describeBackfills(program);
  describeAudit(program, projection);
  describeSchedule(program);
  command(program, 'reset', "delete everything 'reprise start' keeps here: database, Temporal, logs", reset).option(
    '--yes',
    'do not ask',
  );
  command(program, 'schema', 'write db/schema.sql from the migrations, or compare it', schema).option(
    '--check',
    'compare, and fail when it differs',
  );
  return program;
}

function describeReactions(program: Command): void {
  const reaction = program.command('reaction').description('side effects and processes, started by events');
  command(reaction, 'ls', 'reactions, how far each is, what is open and what is parked', listReactions);
  command(
    reaction,
    'show <name> [entity]',
    'what it was started by, and how it ended; what did not, first',
    showReaction,
  );
  command(
    reaction,
    'retry <name> [entity]',
    'let parked entities go on, under the same idempotency keys',
    retryReaction,
  );
  command(
    reaction,
    'skip <name> <entity>',
    'pass over the event that failed, and go on behind it',
    skipReaction,
  ).option('--reason <text>', 'why; kept');
  command(reaction, 'pause <name>', 'start nothing more; what was started goes on', pauseReaction);
  command(reaction, 'resume <name>', 'go on', resumeReaction);
  command(reaction, 'rerun <name> <event-id...>', 'run it again for chosen events, under the same keys', rerunReaction)
    .option('--reason <text>', 'why; kept')
    .option('--yes', 'do not ask');
  command(reaction, 'recover <name>', 'start again what is open here and unknown to Temporal', recoverReaction);
}

function describeBackfills(program: Command): void {
  const backfill = program.command('backfill').description('history from files and queries, brought into the log');
  command(backfill, 'start <name>', 'bring it in, and watch it; Ctrl-C lets it go on', startBackfillCommand)
    .option('--file <path>', 'the file, where the backfill worker can read it')
    .option('--dry-run', 'map and decide, and commit nothing')
    .option('--rate <n>', 'commands a second at most (as many as go)')
    .option('--publish', 'publish its events to sinks and feeds too')
    .option('--rejects <path>', 'where rows that are not taken are listed (<file>.rejects.ndjson)');
  command(backfill, 'ls', 'the ways in, and the newest run of each', listBackfills);
  command(backfill, 'status <name>', 'how far its newest run is, or how it ended', showBackfill);
  command(backfill, 'watch <name>', 'follow it to its end; Ctrl-C lets it go on', watchBackfillCommand);
  command(backfill, 'pause <name>', 'stop, and keep its place', pauseBackfill);
  command(backfill, 'resume <name>', 'go on', resumeBackfill);
  command(backfill, 'throttle <name> <rate>', 'commands a second from now on, or off', throttleBackfill);
  command(backfill, 'cancel <name>', 'end it; what is in stays in', cancelBackfill);
}

function report(error: unknown, json: boolean, debug: boolean): number {
  if (error instanceof CommanderError) return reportUsage(error, json);
  const { code, message, next, exitCode } = toFailure(error);
  if (debug && error instanceof Error) process.stderr.write(`${error.stack ?? message}\n`);
  if (json) process.stdout.write(`${JSON.stringify({ error: { code, message, next } })}\n`);
  else process.stderr.write(`reprise: ${message} (${code})\n${next ? `         ${next}\n` : ''}`);
  return exitCode;
}

/** Commander has told people on stderr already. */
function reportUsage({ code, exitCode, message }: CommanderError, json: boolean): number {
  if (exitCode === 0) return 0; // help that was asked for
  const told = code === 'commander.help' ? 'a command is missing' : message.replace(/^error: /, '');
  const next = "See 'reprise --help'.";
  if (json) process.stdout.write(`${JSON.stringify({ error: { code: 'usage', message: told, next } })}\n`);
  return 2;
}
