import { type Client, WorkflowExecutionAlreadyStartedError, WorkflowNotFoundError } from '@temporalio/client';
import type { Pool } from 'pg';
import type { RecordedEvent } from '../../contracts/event';
import type { Model } from '../../model/model';
import type { AnyReaction } from '../../model/reaction';
import {
  EVENT_SIGNAL,
  handlerQueue,
  PROCESSES_QUEUE,
  REACTION_LINE_WORKFLOW,
  REACTION_WORKFLOW,
  reactionConsumer,
  REACTIONS_QUEUE,
} from '../../workflows/names';
import type { ProcessInput } from '../../workflows/process';
import type { LineEvent, LineInput, ReactionInput, ReactionRef } from '../../workflows/reaction';
import { markParked, openBefore, readTaken } from './rows';

export interface StarterPorts {
  readonly temporal: Client;
  readonly db: Pool;
  readonly model: Model;
  readonly reaction: AnyReaction;
  /** What `settings` of a process may read. */
  readonly ports: unknown;
  readonly idPrefix: string;
}

/** Starts a reaction's workflows and tells its processes of further events. Every call may be repeated. */
export interface Starter {
  readonly start: (ref: ReactionRef, event: RecordedEvent) => Promise<void>;
  /** Of a further event, those of its entity that are open and began before it. */
  readonly tell: (event: RecordedEvent) => Promise<void>;
  /** Starts what is open in `reactions` and unknown to Temporal, or was ended there by hand. False: it runs. */
  readonly recover: (ref: ReactionRef, event: RecordedEvent) => Promise<boolean>;
}

/** `reaction/<name>/<entity type>/<entity id>/<version>`: the same for each run, so also its idempotency key. */
export const reactionKey = ({ reaction, entityType, entityId, version }: ReactionRef): string =>
  `${reactionConsumer(reaction)}/${entityType}/${entityId}/${version}`;

export function makeStarter(ports: StarterPorts): Starter {
  const { temporal, db, model, reaction, idPrefix } = ports;
  const { retry, process } = reaction;
  const handlersQueue = idPrefix + handlerQueue(reaction.name);
  const isLine = process === null && reaction.order === 'per-entity';
  let woken = '';

  return { start: (ref, event) => start(ref, event, 'REJECT_DUPLICATE', []), tell, recover };

  async function start(ref: ReactionRef, event: RecordedEvent, reuse: Reuse, earlier: RecordedEvent[]): Promise<void> {
    if (process) return startOnce(ref, process.workflow, PROCESSES_QUEUE, processInput(ref, event, earlier), reuse);
    if (isLine) return signalLine(ref);
    const input: ReactionInput = { ...refOf(ref), retry, handlersQueue };
    return startOnce(ref, REACTION_WORKFLOW, REACTIONS_QUEUE, input, reuse);
  }

  async function startOnce(
    ref: ReactionRef,
    workflow: string,
    queue: string,
    input: object,
    reuse: Reuse,
  ): Promise<void> {
    try {
      await temporal.workflow.start(workflow, {
        workflowId: workflowIdOf(ref),
        taskQueue: idPrefix + queue,
        args: [input],
        workflowIdReusePolicy: reuse,
        workflowIdConflictPolicy: 'FAIL',
        staticSummary: `${ref.reaction} of ${ref.entityType} ${ref.entityId}, version ${ref.version}`,
      });
    } catch (error) {
      // Started before: by the run that crashed before it could note so.
      if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    }
  }

  async function signalLine({ entityType, entityId, version, run }: ReactionRef): Promise<void> {
    const input: LineInput = { reaction: reaction.name, entityType, entityId, retry, handlersQueue };
    await temporal.workflow.signalWithStart(REACTION_LINE_WORKFLOW, {
      workflowId: lineId({ entityType, entityId }),
      taskQueue: idPrefix + REACTIONS_QUEUE,
      args: [input],
      signal: EVENT_SIGNAL,
      signalArgs: [{ version, run, retry, handlersQueue } satisfies LineEvent],
      workflowIdReusePolicy: 'ALLOW_DUPLICATE',
      staticSummary: `${reaction.name} of ${entityType} ${entityId}, one event after the other`,
    });
  }

  async function tell(event: RecordedEvent): Promise<void> {
    for (const ref of await openBefore(db, reaction.name, event)) {
      try {
        await temporal.workflow.getHandle(workflowIdOf(ref)).signal(EVENT_SIGNAL, event);
      } catch (error) {
        if (!(error instanceof WorkflowNotFoundError)) throw error;
        await unlessEnded(ref, event);
      }
    }
  }

  /** An open process that takes no signal: just ended (its row says so now), ended by hand, or lost with Temporal's data. */
  async function unlessEnded(ref: ReactionRef, told: RecordedEvent): Promise<void> {
    const [still] = (await openBefore(db, reaction.name, told)).filter(({ version }) => version === ref.version);
    if (!still) return;
    const status = await statusOf(workflowIdOf(ref));
    if (status !== null && status !== 'RUNNING') {
      return markParked(db, ref, { error: `its workflow was ended in Temporal: ${status}`, attempts: 1 });
    }
    const [first] = status === null ? await readStarting(ref) : [];
    if (status === null && !first) return;
    if (first) await startAgain(ref, first, told.version);
    // Somebody who recovers may have been faster, and have read the log before this event: it takes the signal now.
    await temporal.workflow.getHandle(workflowIdOf(ref)).signal(EVENT_SIGNAL, told);
  }

  async function recover(ref: ReactionRef, event: RecordedEvent): Promise<boolean> {
    if (isLine) {
      // One wake-up is for all of its entity, which come one after the other.
      if (lineId(ref) !== woken) await signalLine(ref);
      woken = lineId(ref);
      return true;
    }
    if ((await statusOf(workflowIdOf(ref))) === 'RUNNING') return false;
    await startAgain(ref, event, null);
    return true;
  }

  async function startAgain(ref: ReactionRef, event: RecordedEvent, through: number | null): Promise<void> {
    const types = process?.takes ?? [];
    const earlier =
      types.length > 0 ? (await readTaken(db, ref, { types, through })).map((event) => model.lift(event)) : [];
    await start(ref, event, 'ALLOW_DUPLICATE_FAILED_ONLY', earlier);
  }

  async function readStarting(ref: ReactionRef): Promise<RecordedEvent[]> {
    const from = { ...ref, version: ref.version - 1 };
    return (await readTaken(db, from, { types: reaction.on, through: ref.version })).map((event) => model.lift(event));
  }

  async function statusOf(workflowId: string): Promise<string | null> {
    try {
      return (await temporal.workflow.getHandle(workflowId).describe()).status.name;
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return null;
      throw error;
    }
  }

  function processInput(ref: ReactionRef, event: RecordedEvent, earlier: readonly RecordedEvent[]): ProcessInput {
    const settings = process?.settings(ports.ports as never);
    return { ref: refOf(ref), event, earlier, settings, retry, queuePrefix: idPrefix };
  }

  function workflowIdOf(ref: ReactionRef): string {
    return `${idPrefix}${reactionKey(ref)}${ref.run > 0 ? `/rerun-${ref.run}` : ''}`;
  }

  function lineId({ entityType, entityId }: { entityType: string; entityId: string }): string {
    return `${idPrefix}${reactionConsumer(reaction.name)}/${entityType}/${entityId}`;
  }
}

type Reuse = 'REJECT_DUPLICATE' | 'ALLOW_DUPLICATE_FAILED_ONLY';

const refOf = ({ reaction, entityType, entityId, version, run }: ReactionRef): ReactionRef => ({
  reaction,
  entityType,
  entityId,
  version,
  run,
});
