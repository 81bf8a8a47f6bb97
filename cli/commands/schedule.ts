import { userInfo } from 'node:os';
import {
  createSchedule,
  deleteSchedule,
  listSchedules,
  NoSchedule,
  pauseSchedule,
  resumeSchedule,
  SCHEDULED_KINDS,
  ScheduleExists,
  ScheduleInvalid,
  triggerSchedule,
  type ScheduledKind,
  type ScheduledWork,
} from '../../client/schedules';
import type { ReplayDoor } from '../../client/replay';
import { parseAudit } from '../audit/parse';
import { CliFailure } from '../failure';
import { table, type Output } from '../output';
import { projectionOf, withDoor } from '../replay/door';
import { parseRate, wrong } from '../replay/parse';
import { withDb } from '../with-db';

type Args = readonly string[];
type Options = Record<string, unknown>;

const NAME = /^[a-z0-9][a-z0-9-]{0,60}$/;

// What each kind takes of the command line. A new kind is a line here, and one in client/schedules.ts.
const WORK: { readonly [Kind in ScheduledKind]: (projection: string, options: Options) => ScheduledWork } = {
  replay: (projection, options) => {
    refuseOthers('replay', options, ['entities', 'perSecond']);
    const rate = typeof options['rate'] === 'string' ? parseRate(options['rate']) : null;
    const adaptive = options['adaptive'] !== false;
    return { kind: 'replay', input: { projection, rate, adaptive, actor: userInfo().username } };
  },
  audit: (projection, options) => {
    refuseOthers('audit', options, ['rate']);
    return { kind: 'audit', input: parseAudit(projection, options) };
  },
};

function refuseOthers(kind: ScheduledKind, options: Options, others: readonly string[]): void {
  const given = others.find((other) => options[other] !== undefined);
  if (given) throw wrong(`--${given === 'perSecond' ? 'per-second' : given} is nothing of a schedule of kind ${kind}`);
}

export async function createScheduleCommand(
  output: Output,
  [name = '', kind = '', target = '']: Args,
  options: Options,
): Promise<void> {
  if (!NAME.test(name)) throw wrong(`'${name}' is no name`, 'Lower case letters, digits and dashes, at most 61');
  if (!Object.hasOwn(WORK, kind))
    throw wrong(`nothing of kind '${kind}' is scheduled`, `Kinds: ${SCHEDULED_KINDS.join(', ')}`);
  const { name: projection } = projectionOf(target);
  const cron = options['cron'];
  if (typeof cron !== 'string') throw wrong('a schedule needs --cron', "Like --cron '0 3 * * *': at 3 each night, UTC");
  const work = WORK[kind as ScheduledKind](projection, options);
  await withTemporal(async (door) => {
    await createSchedule(door, { name, cron, work });
    output.result({ created: name, kind, projection, cron }, () => [
      `${kind} of ${projection} at '${cron}', UTC: 'reprise schedule ls' shows when; 'reprise schedule trigger ${name}' runs it now.`,
    ]);
  });
}

export async function listSchedulesCommand(output: Output): Promise<void> {
  await withTemporal(async (door) => {
    const schedules = await listSchedules(door);
    output.result({ schedules }, () => table(schedules));
  });
}

const note = (what: string): string => `${what} by ${userInfo().username}`;

export const pauseScheduleCommand = (output: Output, [name = '']: Args): Promise<void> =>
  withTemporal(async (door) => {
    await pauseSchedule(door, name, note('paused'));
    output.result({ paused: name }, () => [`${name} starts nothing until it is resumed; what runs goes on.`]);
  });

export const resumeScheduleCommand = (output: Output, [name = '']: Args): Promise<void> =>
  withTemporal(async (door) => {
    await resumeSchedule(door, name, note('resumed'));
    output.result({ resumed: name }, () => [`${name} goes on.`]);
  });

export const triggerScheduleCommand = (output: Output, [name = '']: Args): Promise<void> =>
  withTemporal(async (door) => {
    await triggerSchedule(door, name);
    output.result({ triggered: name }, () => [`${name} runs, unless one that it started before still does.`]);
  });

export const deleteScheduleCommand = (output: Output, [name = '']: Args): Promise<void> =>
  withTemporal(async (door) => {
    await deleteSchedule(door, name);
    output.result({ deleted: name }, () => [`${name} is forgotten; what it started goes on.`]);
  });

const withTemporal = (work: (door: ReplayDoor) => Promise<void>): Promise<void> =>
  withDb('read', (db) =>
    withDoor(db, work).catch((error: unknown) => {
      throw asFailure(error);
    }),
  );

function asFailure(error: unknown): unknown {
  if (error instanceof ScheduleExists) return new CliFailure('exists', error.message, "See 'reprise schedule ls'.");
  if (error instanceof NoSchedule) return new CliFailure('no_schedule', error.message, "See 'reprise schedule ls'.");
  if (error instanceof ScheduleInvalid) {
    return new CliFailure('usage', error.message, "Like --cron '0 3 * * *': minute, hour, day, month, weekday", 2);
  }
  return error;
}
