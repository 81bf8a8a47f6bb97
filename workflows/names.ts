// Names of workflows, messages and queues: in histories and in running clients, so they never change meaning.

export const ENTITY_WORKFLOW = 'entity';
export const CONSUMER_WORKFLOW = 'consumer';
export const COMMIT_UPDATE = 'commit';
export const POST_SIGNAL = 'post';

/** The error type of an activity that met what only newer code knows. */
export const BEHIND_CODE = 'BehindCode';

export const ENTITY_QUEUE = 'reprise-entity';
export const CONSUMERS_QUEUE = 'reprise-consumers';

/** A projection's activities run only where code of its declared version runs. */
export const projectionQueue = (name: string, declaredVersion: number): string =>
  `reprise-projection/${name}/v${declaredVersion}`;

/** What `checkpoints.consumer` and the consumer's workflow id begin with. */
export const projectionConsumer = (name: string): string => `projection/${name}`;
export const projectionOfConsumer = (consumer: string): string => consumer.slice(projectionConsumer('').length);

/** Relays run where a worker has the brokers' addresses. */
export const RELAY_QUEUE = 'reprise-relay';
export const relayConsumer = (sink: string): string => `relay/${sink}`;

export const REACTION_WORKFLOW = 'reaction';
export const REACTION_LINE_WORKFLOW = 'reactionLine';
/** Tells a line of the next event, and a process of a further one. */
export const EVENT_SIGNAL = 'event';

/** Workflows of handlers, and the activities of processes. */
export const REACTIONS_QUEUE = 'reprise-reactions';
/** Handlers of one reaction: its limits are kept there, and a change of them strands nothing. */
export const handlerQueue = (reaction: string): string => `${REACTIONS_QUEUE}/${reaction}`;
/** So long a line's activity goes on to its next one: a short handler does not cost Temporal a round each. */
export const LINE_TURN_MS = 1_000;
/** The project's own workflows. */
export const PROCESSES_QUEUE = 'reprise-processes';
/** Tails the log for every reaction. */
export const REACTOR_QUEUE = 'reprise-reactor';

/** A reaction's consumer, and what its workflow ids begin with. */
export const reactionConsumer = (name: string): string => `reaction/${name}`;

/** A subscription's place in the log; it runs in its subscriber's process, under no workflow. */
export const feedConsumer = (name: string): string => `feed/${name}`;

export const REPLAY_WORKFLOW = 'replay';
/** Nothing else runs there: the worker of replays has no way to the outside. */
export const REPLAY_QUEUE = 'reprise-replay';
/** One at a time per projection: Temporal refuses a second while the first is open. */
export const replayWorkflowId = (projection: string): string => `replay/${projection}`;

export const BACKFILL_WORKFLOW = 'backfill';
/** Runs of backfills, and what they do. */
export const BACKFILL_QUEUE = 'reprise-backfill';
/** One run at a time per name. */
export const backfillWorkflowId = (name: string): string => `backfill/${name}`;

/** On the queue of replays, which its worker is for. */
export const AUDIT_WORKFLOW = 'audit';
export const auditWorkflowId = (projection: string): string => `audit/${projection}`;

/** What a Temporal Schedule starts: it starts the rest, under the ids that people use. */
export const SCHEDULED_WORKFLOW = 'scheduled';
export const scheduleId = (name: string): string => `reprise-schedule/${name}`;
