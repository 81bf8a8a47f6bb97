import { activityInfo, cancellationDetails, cancellationSignal, heartbeat } from '@temporalio/activity';
import type { Client } from '@temporalio/client';
import { Worker, type NativeConnection, type WorkflowBundle } from '@temporalio/worker';
import { makeReactor } from '../activities/react';
import { makeReactionActivities, type CommandToSend, type ReactionActivities } from '../activities/react/run';
import type { Try } from '../activities/react/tries';
import { makeStarter } from '../activities/react/start';
import { tailLog } from '../activities/tail';
import { NOT_WATCHED, watchTurn, type ConsumerWatch } from '../activities/watch';
import { ensureCheckpoints } from '../db/checkpoints';
import { openPool } from '../db/pool';
import { listenForWakes } from '../db/wake';
import type { Model } from '../model/model';
import type { AnyReaction, ReactionAnswer } from '../model/reaction';
import type { ConsumerActivities, TailEnd } from '../workflows/consumer';
import { handlerQueue, PROCESSES_QUEUE, reactionConsumer, REACTIONS_QUEUE, REACTOR_QUEUE } from '../workflows/names';
import { bundleProcesses } from './bundle-processes';
import { runTogether, type Running } from './running';
import { keepConsumersStarted } from './start-consumers';
import { workflowSource } from './workflow-source';

export interface ReactionsWorkerOptions {
  readonly model: Model;
  readonly reactions: readonly AnyReaction[];
  /** The project's file of process workflows; needed when a reaction is one. */
  readonly processesPath?: string;
  /** Given to handlers and steps. */
  readonly ports: unknown;
  readonly connection: NativeConnection;
  /** Starts the reactions' workflows. */
  readonly client: Client;
  readonly namespace: string;
  /** Login `reprise_react`. */
  readonly databaseUrl: string;
  readonly send: (to: CommandToSend) => Promise<ReactionAnswer>;
  readonly idPrefix?: string;
  /** More parked entities than this stop a reaction. Default 100. */
  readonly parkedMax?: number | undefined;
  readonly watch?: (consumer: string) => ConsumerWatch;
}

const SHUTDOWN_GRACE = '10 seconds';
const HANDLERS_AT_ONCE = 20;
const HEARTBEAT_MS = 3_000;
// Tails take one each while they read, handlers and ends for a moment.
const CONNECTIONS = 8;

/** Runs side effects and processes: the only worker that reaches the outside, by the ports it is given. */
export async function runReactionsWorker(options: ReactionsWorkerOptions): Promise<Running> {
  const { reactions, client, databaseUrl, idPrefix = '' } = options;
  const processes = await bundleProcesses(reactions, options.processesPath); // may refuse: before anything is open
  const db = openPool({ url: databaseUrl, max: CONNECTIONS, applicationName: 'reprise-reactions' });
  const wakes = listenForWakes(databaseUrl);
  const stopping = new AbortController();
  for (const { name, from } of reactions) await ensureCheckpoints(db, reactionConsumer(name), from);
  const activities = heartbeating(makeReactionActivities({ ...options, db, currentTry }));
  const workers = [
    await makeReactorWorker(options, { db, wakes, stopping: stopping.signal }),
    await makeReactionsWorker(options, activities),
    ...(await makeHandlerWorkers(options, activities)),
    ...(await makeProcessesWorker(options, processes)),
  ];
  const wanted = () => Promise.resolve(reactions.map(toWanted));
  const starting = await keepConsumersStarted({ client, idPrefix, queue: REACTOR_QUEUE, wanted }, stopping.signal);
  return runTogether(workers, {
    stopping,
    close: async () => {
      await starting.ended;
      await wakes.close();
      await db.end();
    },
  });
}

const toWanted = ({ name }: AnyReaction) => ({
  workflowId: reactionConsumer(name),
  input: { consumer: reactionConsumer(name), generation: 0, taskQueue: REACTOR_QUEUE },
  summary: `starts ${name}`,
});

interface ReactorSources {
  readonly db: ReturnType<typeof openPool>;
  readonly wakes: ReturnType<typeof listenForWakes>;
  readonly stopping: AbortSignal;
}

/** Reads the log for every reaction. A second run of a tail takes over by epoch; the first, if it lives, is fenced. */
function makeReactorWorker(options: ReactionsWorkerOptions, { db, wakes, stopping }: ReactorSources): Promise<Worker> {
  const { model, reactions, ports, client, connection, namespace, idPrefix = '', parkedMax } = options;
  const tail: ConsumerActivities['tail'] = ({ consumer }) => {
    const reaction = reactions.find(({ name }) => reactionConsumer(name) === consumer);
    if (!reaction) return Promise.resolve('gone');
    const watch = options.watch?.(consumer) ?? NOT_WATCHED;
    const starter = makeStarter({ temporal: client, db, model, reaction, ports, idPrefix });
    return watchTurn<TailEnd>(watch, activityInfo().attempt, async () => {
      const signal = AbortSignal.any([cancellationSignal(), stopping]);
      const reactor = makeReactor({ db, model, reaction, starter });
      await tailLog(reactor, { db, wakes, heartbeat, signal, parkedMax, watch });
      return 'turn-over';
    });
  };
  return Worker.create({
    connection,
    namespace,
    taskQueue: idPrefix + REACTOR_QUEUE,
    ...workflowSource(process.env),
    activities: { tail },
    maxConcurrentActivityTaskExecutions: Math.max(1, reactions.length),
    maxCachedWorkflows: 0, // as in workers/consumers.ts: nobody's in particular
    shutdownGraceTime: SHUTDOWN_GRACE,
  });
}

/** Runs the workflows of handlers, and what processes do. */
function makeReactionsWorker(
  { connection, namespace, idPrefix = '' }: ReactionsWorkerOptions,
  activities: ReactionActivities,
): Promise<Worker> {
  return Worker.create({
    connection,
    namespace,
    taskQueue: idPrefix + REACTIONS_QUEUE,
    ...workflowSource(process.env),
    activities,
    maxConcurrentActivityTaskExecutions: HANDLERS_AT_ONCE,
    shutdownGraceTime: SHUTDOWN_GRACE,
  });
}

/** Each has a queue of its own, where its limits are kept: concurrency by this process, the rate by Temporal for all of them. */
function makeHandlerWorkers(
  { reactions, connection, namespace, idPrefix = '' }: ReactionsWorkerOptions,
  activities: ReactionActivities,
): Promise<Worker[]> {
  const handlers = reactions.filter(({ handle }) => handle !== null);
  return Promise.all(
    handlers.map(({ name, limits: { concurrent = HANDLERS_AT_ONCE, perSecond } }) =>
      Worker.create({
        connection,
        namespace,
        taskQueue: idPrefix + handlerQueue(name),
        activities: { handle: activities.handle, handleLine: activities.handleLine },
        maxConcurrentActivityTaskExecutions: concurrent,
        ...(perSecond === undefined ? {} : { maxTaskQueueActivitiesPerSecond: perSecond }),
        shutdownGraceTime: SHUTDOWN_GRACE,
      }),
    ),
  );
}

/** The project's own workflows, in a bundle of their own, with their ends noted. */
async function makeProcessesWorker(
  { connection, namespace, idPrefix = '' }: ReactionsWorkerOptions,
  workflowBundle: WorkflowBundle | null,
): Promise<Worker[]> {
  if (!workflowBundle) return [];
  const worker = await Worker.create({
    connection,
    namespace,
    taskQueue: idPrefix + PROCESSES_QUEUE,
    workflowBundle,
    shutdownGraceTime: SHUTDOWN_GRACE,
  });
  return [worker];
}

const currentTry = (): Try => {
  const { attempt } = activityInfo();
  return { attempt, signal: cancellationSignal(), stopping: () => cancellationDetails()?.workerShutdown ?? false };
};

/** Long tries tell that they live, so that those of a worker that died are tried again in seconds. */
function heartbeating(activities: ReactionActivities): ReactionActivities {
  const beating =
    <Args extends unknown[], Answer>(run: (...args: Args) => Promise<Answer>) =>
    async (...args: Args): Promise<Answer> => {
      const timer = setInterval(() => heartbeat(), HEARTBEAT_MS);
      try {
        return await run(...args);
      } finally {
        clearInterval(timer);
      }
    };
  const { handle, handleLine, runStep, sendCommand } = activities;
  return {
    ...activities,
    handle: beating(handle),
    handleLine: beating(handleLine),
    runStep: beating(runStep),
    sendCommand: beating(sendCommand),
  };
}
