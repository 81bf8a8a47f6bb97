import type { Command } from 'commander';
import { withSampling } from '../audit/describe';
import { command } from '../command';
import {
  createScheduleCommand,
  deleteScheduleCommand,
  listSchedulesCommand,
  pauseScheduleCommand,
  resumeScheduleCommand,
  triggerScheduleCommand,
} from '../commands/schedule';

/** `reprise schedule ...` */
export function describeSchedule(program: Command): void {
  const schedule = program.command('schedule').description('rehearsals and audits at set times, by Temporal');
  withSampling(
    command(
      schedule,
      'create <name> <kind> <projection>',
      'replay: built, verified and dropped, nothing is switched; audit: a random sample is compared',
      createScheduleCommand,
    )
      .option('--cron <expression>', "when, in UTC, like '0 3 * * *'")
      .option('--rate <n>', "of a replay: events per second at most; or 'none' (none)")
      .option('--no-adaptive', 'of a replay: do not slow down while commits or read models suffer'),
  );
  command(schedule, 'ls', 'schedules, when they run next and ran last', listSchedulesCommand);
  command(schedule, 'pause <name>', 'start nothing until it is resumed', pauseScheduleCommand);
  command(schedule, 'resume <name>', 'go on', resumeScheduleCommand);
  command(schedule, 'trigger <name>', 'run it now, unless one still runs', triggerScheduleCommand);
  command(schedule, 'delete <name>', 'forget it; what it started goes on', deleteScheduleCommand);
}
