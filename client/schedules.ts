import {
  isGrpcServiceError,
  ScheduleAlreadyRunning,
  ScheduleNotFoundError,
  ScheduleOverlapPolicy,
  type ScheduleHandle,
} from '@temporalio/client';
import {
  AUDIT_WORKFLOW,
  auditWorkflowId,
  REPLAY_QUEUE,
  REPLAY_WORKFLOW,
  replayWorkflowId,
  SCHEDULED_WORKFLOW,
  scheduleId,
} from '../workflows/names';
import type { AuditInput } from '../workflows/audit';
import type { ReplayInput } from '../workflows/replay';
import type { Scheduled } from '../workflows/scheduled';
import type { ReplayDoor } from './replay';

/** What a schedule does each time. A replay is a rehearsal: built, verified, dropped; of the version that is fed then. */
export type ScheduledWork =
  | { readonly kind: 'replay'; readonly input: Pick<ReplayInput, 'projection' | 'rate' | 'adaptive' | 'actor'> }
  | { readonly kind: 'audit'; readonly input: AuditInput };
export type ScheduledKind = ScheduledWork['kind'];

/** Each kind as what Temporal starts; ids without their prefix. A new kind is a line here. */
const KINDS: { readonly [Kind in ScheduledKind]: (input: InputOf<Kind>) => Scheduled } = {
  replay: (input) => ({
    workflow: REPLAY_WORKFLOW,
    workflowId: replayWorkflowId(input.projection),
    input: { ...REHEARSAL, ...input },
    versioned: true,
  }),
  audit: (input) => ({
    workflow: AUDIT_WORKFLOW,
    workflowId: auditWorkflowId(input.projection),
    input: { ...input },
    versioned: false,
  }),
};
type InputOf<Kind extends ScheduledKind> = Extract<ScheduledWork, { readonly kind: Kind }>['input'];

export const SCHEDULED_KINDS = Object.keys(KINDS) as readonly ScheduledKind[];

const REHEARSAL: Omit<ReplayInput, 'projection' | 'declaredVersion' | 'rate' | 'adaptive' | 'actor'> = {
  slices: 1,
  switchWhenVerified: false,
  tolerance: { maxDifferent: 0 },
  graceMs: 0,
  reshape: false,
  rehearsal: true,
  selection: null,
};

/** What a list tells of it without asking for its action. */
type WhatFor = Readonly<{ kind: string; projection: string; cron: string }>;

export type Schedule = WhatFor &
  Readonly<{
    name: string;
    paused: boolean;
    next: string | null;
    /** The newest of those it started. */
    last: string | null;
  }>;

export class ScheduleExists extends Error {
  override readonly name = 'ScheduleExists';

  constructor(name: string) {
    super(`there is a schedule '${name}' already`);
  }
}

export class NoSchedule extends Error {
  override readonly name = 'NoSchedule';

  constructor(name: string) {
    super(`there is no schedule '${name}'`);
  }
}

/** Temporal does not take it: its cron expression, mostly. */
export class ScheduleInvalid extends Error {
  override readonly name = 'ScheduleInvalid';
}

// What was missed while Temporal was down is made up for if it is not older; once, since one does not begin beside another.
const CATCHUP_WINDOW = '1 hour';
const INVALID_ARGUMENT = 3;

/** Times are UTC. Throws `ScheduleExists`, `ScheduleInvalid`. */
export async function createSchedule(
  { temporal, idPrefix }: ReplayDoor,
  { name, cron, work }: { readonly name: string; readonly cron: string; readonly work: ScheduledWork },
): Promise<void> {
  const scheduled = asScheduled(work);
  try {
    await temporal.schedule.create({
      scheduleId: idPrefix + scheduleId(name),
      spec: { cronExpressions: [cron] },
      policies: { overlap: ScheduleOverlapPolicy.SKIP, catchupWindow: CATCHUP_WINDOW },
      action: {
        type: 'startWorkflow',
        workflowType: SCHEDULED_WORKFLOW,
        workflowId: `${idPrefix}${SCHEDULED_WORKFLOW}/${name}`,
        taskQueue: idPrefix + REPLAY_QUEUE,
        args: [{ ...scheduled, workflowId: idPrefix + scheduled.workflowId }],
        staticSummary: `${work.kind} of ${work.input.projection}, by schedule ${name}`,
      },
      memo: { kind: work.kind, projection: work.input.projection, cron } satisfies WhatFor,
    });
  } catch (error) {
    if (error instanceof ScheduleAlreadyRunning) throw new ScheduleExists(name);
    if (error instanceof TypeError) throw new ScheduleInvalid(`'${cron}': ${error.message}`, { cause: error });
    const cause = error instanceof Error ? error.cause : undefined;
    const refused = [error, cause].find((one) => isGrpcServiceError(one) && Number(one.code) === INVALID_ARGUMENT);
    if (!isGrpcServiceError(refused)) throw error;
    throw new ScheduleInvalid(`'${cron}': ${refused.details}`, { cause: error });
  }
}

function asScheduled(work: ScheduledWork): Scheduled {
  const make = KINDS[work.kind] as (input: ScheduledWork['input']) => Scheduled;
  return make(work.input);
}

/** By name. One that was made just now may be missing for a moment: Temporal lists from an index. */
export async function listSchedules({ temporal, idPrefix }: ReplayDoor): Promise<Schedule[]> {
  const before = idPrefix + scheduleId('');
  const found: Schedule[] = [];
  for await (const { scheduleId: id, memo, state, info } of temporal.schedule.list()) {
    if (!id.startsWith(before)) continue;
    found.push({
      name: id.slice(before.length),
      ...(memo as unknown as WhatFor),
      paused: state.paused,
      next: info.nextActionTimes[0]?.toISOString() ?? null,
      last: info.recentActions.at(-1)?.takenAt.toISOString() ?? null,
    });
  }
  return found.sort((one, other) => (one.name < other.name ? -1 : 1));
}

/** It starts nothing until it is resumed. These throw `NoSchedule`. */
export const pauseSchedule = (door: ReplayDoor, name: string, note: string): Promise<void> =>
  withSchedule(door, name, (schedule) => schedule.pause(note));

export const resumeSchedule = (door: ReplayDoor, name: string, note: string): Promise<void> =>
  withSchedule(door, name, (schedule) => schedule.unpause(note));

/** Now, also while it is paused; not beside one that it started before. */
export const triggerSchedule = (door: ReplayDoor, name: string): Promise<void> =>
  withSchedule(door, name, (schedule) => schedule.trigger(ScheduleOverlapPolicy.SKIP));

/** What it started goes on. */
export const deleteSchedule = (door: ReplayDoor, name: string): Promise<void> =>
  withSchedule(door, name, (schedule) => schedule.delete());

async function withSchedule(
  { temporal, idPrefix }: ReplayDoor,
  name: string,
  act: (schedule: ScheduleHandle) => Promise<void>,
): Promise<void> {
  try {
    await act(temporal.schedule.getHandle(idPrefix + scheduleId(name)));
  } catch (error) {
    if (error instanceof ScheduleNotFoundError) throw new NoSchedule(name);
    throw error;
  }
}
