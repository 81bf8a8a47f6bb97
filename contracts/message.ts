import type { Meta } from './event';

/** A command on its way, as it travels through Temporal: the body as its sender wrote it. */
export interface CommandMessage {
  readonly entityType: string;
  readonly entityId: string;
  /** The sender's key for exactly-once: the same id and body get the same answer. */
  readonly commandId: string;
  readonly name: string;
  readonly version: number;
  readonly data: unknown;
  /** Refuse unless the entity is at this version (0: it has no events yet). */
  readonly expectedVersion?: number;
  /** When it happened, if not now: ISO 8601. */
  readonly occurredAt?: string;
  readonly meta?: Meta;
}

/** The name under which a backfill brings events that were decided elsewhere, as its data. Dotted: no command has one. */
export const TAKE_EVENTS = 'reprise.take-events';

/** A command's answer. Versions are the entity's; `offset` is the last event's place in the entity's partition. */
export type Outcome = AcceptedOutcome | RefusedOutcome | FailedOutcome;

interface AnsweredOutcome {
  readonly commandId: string;
  /** The version the answer was given at, its own events included. */
  readonly lastVersion: number;
  /** The answer is the one given before. */
  readonly repeated?: true;
}
export interface AcceptedOutcome extends AnsweredOutcome {
  readonly outcome: 'accepted';
  /** Null when the decision was to do nothing. */
  readonly firstVersion: number | null;
  readonly offset: number | null;
}
export interface RefusedOutcome extends AnsweredOutcome {
  readonly outcome: 'refused';
  readonly code: string;
}
/** Not a verdict: the same id and body sent again is decided anew. */
export interface FailedOutcome extends AnsweredOutcome {
  readonly outcome: 'failed';
  readonly code: FailureCode;
  readonly message?: string;
}

/** Refusals of the engine itself; an entity's own have its own prefix. */
export const engineRefusals = {
  'reprise.version_stale': 'The entity is not at the expected version.',
  'reprise.command_id_reused': 'The command id was used before with another body.',
} as const;

export const failures = {
  'reprise.command_unknown': 'No code that runs now knows this command or its version.',
  'reprise.command_invalid': "The command's data does not fit its contract.",
  'reprise.decide_threw': 'The entity failed to decide: a bug, not a verdict.',
  'reprise.event_invalid': 'The decision made an event that does not fit its contract.',
  'reprise.evolve_threw': 'The entity failed to take its own event: a bug, not a verdict.',
  'reprise.data_refused': 'PostgreSQL refused the data.',
} as const;
export type FailureCode = keyof typeof failures;

/** An outcome on its way through Temporal, which stores it twice: without what its asker knows. */
export type SentOutcome =
  Omit<AcceptedOutcome, 'commandId'> | Omit<RefusedOutcome, 'commandId'> | Omit<FailedOutcome, 'commandId'>;

/** What an entity's workflow gets of a commit. */
export interface SentAnswer {
  readonly outcomes: readonly SentOutcome[];
  /** Of the last command: its entity is final, or has no events. */
  readonly settled: readonly boolean[];
}

export const toSent = ({ outcomes, settled }: CommitAnswer): SentAnswer => ({
  outcomes: outcomes.map((outcome) => {
    const sent: SentOutcome & { commandId?: string } = { ...outcome };
    delete sent.commandId;
    return sent;
  }),
  settled: settled.slice(-1),
});

/** With the command ids again, in the order asked. */
export const fromSent = (outcomes: readonly SentOutcome[], asked: readonly CommandMessage[]): Outcome[] =>
  outcomes.map((sent, nth) => ({ ...sent, commandId: asked[nth]?.commandId ?? '' }));

/** What the commit of a batch answers, one of each per command, in the order asked. */
export interface CommitAnswer {
  readonly outcomes: readonly Outcome[];
  /** The command's entity is final, or has no events: nothing to stay open for. */
  readonly settled: readonly boolean[];
}
