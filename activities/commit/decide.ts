import type { Meta, NewEvent } from '../../contracts/event';
import type { PublicShape } from '../../contracts/public-shape';
import { TAKE_EVENTS, type CommandMessage, type Outcome } from '../../contracts/message';
import { isStorableTime, isTooDeep, unstorable } from '../../contracts/storable';
import { BehindCode } from '../../contracts/upcast';
import { apply, checkState, CommandFailed, decide, parseCommand } from '../../model/doors';
import type { AnyEntity, Decision } from '../../model/entity';
import type { Model } from '../../model/model';
import { bodyHash } from './body-hash';
import { badAddress, commandKey, entityKey, type Known, type KnownCommand, type KnownEntity } from './known';

/** An event with its place in its entity's history; its offset is known only inside the commit. */
export interface DecidedEvent {
  readonly entityType: string;
  readonly entityId: string;
  readonly version: number;
  readonly type: string;
  readonly schemaVersion: number;
  readonly data: unknown;
  readonly meta: Meta;
  readonly commandId: string;
  readonly publishedAfter: number | null;
  /** What leaves instead of the stored data; null where that is the same, or nothing leaves. */
  readonly published: PublicShape | null;
  readonly occurredAt: string | null;
}

export interface DecidedEntity extends KnownEntity {
  readonly entityType: string;
  readonly entityId: string;
  /** The version it was decided on; the commit refuses when it has moved. */
  readonly expected: number;
}

export interface DecidedCommand {
  readonly message: CommandMessage;
  readonly bodyHash: string;
  readonly outcome: Outcome;
}

/** A batch decided: what to write, and every answer in the order asked. Offsets are filled in after the commit. */
export interface Decided {
  readonly outcomes: readonly Outcome[];
  readonly entities: readonly DecidedEntity[];
  readonly commands: readonly DecidedCommand[];
  readonly events: readonly DecidedEvent[];
  /** Per command, in the order asked: its entity is final after the batch, or has no events. */
  readonly settled: readonly boolean[];
}

/** Where a batch comes from, as far as deciding it goes. */
export interface Intake {
  readonly origin: 'live' | 'backfill';
  /** Public events are published; else they lie in the log as private ones do. */
  readonly published: boolean;
}

export const LIVE: Intake = { origin: 'live', published: true };

/** Decides a batch in order, each command on the state the one before left. Pure; one bad command fails alone. */
export function decideBatch(
  model: Model,
  known: Known,
  batch: readonly CommandMessage[],
  intake: Intake = LIVE,
): Decided {
  const entities = new Map<string, DecidedEntity>();
  const answered = new Map<string, KnownCommand>(known.commands);
  const recorded = new Map<string, DecidedCommand>();
  const events: DecidedEvent[] = [];
  const outcomes = batch.map((message) => {
    const key = entityKey(message);
    const entity = model.entity(message.entityType);
    const current = entities.get(key) ?? asDecidedOn(message, known.entities.get(key), entity);
    // No hash, no row: such a body could only come past the client's door.
    if (isTooDeep(message.data)) return tooDeep(message, current);
    const hash = bodyHash(message);
    const early = answerWithoutDeciding(message, hash, answered.get(commandKey(message)), current);
    if (early) return early;
    const step = decideOne(entity, current, message, intake);
    events.push(...step.events);
    if (!badAddress(message)) {
      entities.set(key, step.entity);
      recorded.set(commandKey(message), { message, bodyHash: hash, outcome: step.outcome });
      answered.set(commandKey(message), asKnown(hash, step.outcome));
    }
    return step.outcome;
  });
  const settled = batch.map((message) => {
    const { version, state } = entities.get(entityKey(message)) ?? known.entities.get(entityKey(message)) ?? NO_EVENTS;
    return version === 0 || isFinal(model, message, state);
  });
  return { outcomes, entities: [...entities.values()], commands: [...recorded.values()], events, settled };
}

/** One whose `isFinal` throws stays open: its commands are decided all the same. */
function isFinal(model: Model, { entityType }: CommandMessage, state: unknown): boolean {
  try {
    return model.entity(entityType)?.isFinal(state) ?? true;
  } catch {
    return false;
  }
}

const NO_EVENTS: KnownEntity = { version: 0, publishedVersion: 0, state: undefined };

/** The same command, answered as failed: PostgreSQL refused what deciding it would have stored. */
export function decideDataRefused(model: Model, known: Known, message: CommandMessage, intake: Intake = LIVE): Decided {
  const decided = decideBatch(model, known, [message], intake);
  const { entities, commands, outcomes } = decided;
  const [entity] = entities;
  if (!entity || commands.length === 0) return decided;
  const { commandId } = message;
  const outcome = { outcome: 'failed', commandId, code: 'reprise.data_refused', lastVersion: entity.expected } as const;
  const before = known.entities.get(entityKey(message)) ?? NO_EVENTS;
  return {
    outcomes: outcomes.map(() => outcome),
    entities: [{ ...entity, ...before }],
    commands: commands.map((command) => ({ ...command, outcome })),
    events: [],
    settled: [before.version === 0 || isFinal(model, message, before.state)],
  };
}

function asDecidedOn(
  message: CommandMessage,
  known: KnownEntity | undefined,
  entity: AnyEntity | undefined,
): DecidedEntity {
  const { entityType, entityId } = message;
  const current = known ?? { version: 0, publishedVersion: 0, state: entity?.initial };
  return { ...current, entityType, entityId, expected: current.version };
}

const tooDeep = ({ commandId }: CommandMessage, current: DecidedEntity): Outcome => ({
  outcome: 'failed',
  commandId,
  code: 'reprise.command_invalid',
  message: 'the data is nested too deep',
  lastVersion: current.version,
});

/** Dedup comes before `expectedVersion`: a repeat gets its first answer, however far the entity has moved since. */
function answerWithoutDeciding(
  message: CommandMessage,
  hash: string,
  known: KnownCommand | undefined,
  current: DecidedEntity,
): Outcome | undefined {
  const { commandId } = message;
  if (known && known.bodyHash !== hash) {
    return { outcome: 'refused', commandId, code: 'reprise.command_id_reused', lastVersion: current.version };
  }
  if (known && known.outcome !== 'failed') return repeat(commandId, known);
  if (message.expectedVersion !== undefined && message.expectedVersion !== current.version) {
    return { outcome: 'refused', commandId, code: 'reprise.version_stale', lastVersion: current.version };
  }
  return undefined;
}

function repeat(commandId: string, known: KnownCommand): Outcome {
  const { firstVersion, lastVersion, offset } = known;
  return known.outcome === 'refused'
    ? { outcome: 'refused', commandId, code: known.code ?? '', lastVersion, repeated: true }
    : { outcome: 'accepted', commandId, firstVersion, lastVersion, offset, repeated: true };
}

/** A command just answered, as `commands` would have it. */
export function asKnown(hash: string, outcome: Outcome): KnownCommand {
  return {
    bodyHash: hash,
    outcome: outcome.outcome,
    code: outcome.outcome === 'accepted' ? null : outcome.code,
    firstVersion: outcome.outcome === 'accepted' ? outcome.firstVersion : null,
    lastVersion: outcome.lastVersion,
    offset: null,
  };
}

interface Step {
  readonly outcome: Outcome;
  readonly entity: DecidedEntity;
  readonly events: readonly DecidedEvent[];
}

function decideOne(
  entity: AnyEntity | undefined,
  current: DecidedEntity,
  message: CommandMessage,
  intake: Intake,
): Step {
  const { commandId } = message;
  try {
    if (current.unfoldable !== undefined) throw new CommandFailed('reprise.evolve_threw', current.unfoldable);
    if (!entity) throw new CommandFailed('reprise.command_unknown', `'${message.entityType}' is not known here`);
    checkAddressed(message);
    const decision = decisionOn(entity, current.state, message, intake);
    if ('kind' in decision) {
      return {
        outcome: { outcome: 'refused', commandId, code: decision.code, lastVersion: current.version },
        entity: current,
        events: [],
      };
    }
    return applyEvents(entity, current, { message, decided: decision, intake });
  } catch (error) {
    if (error instanceof BehindCode) throw error;
    // Anything else is domain code that broke its word: a promise for a list, a hole in it.
    const failure = error instanceof CommandFailed ? error : new CommandFailed('reprise.decide_threw', String(error));
    const failed = { outcome: 'failed', commandId, code: failure.code, lastVersion: current.version } as const;
    return { outcome: { ...failed, message: failure.message }, entity: current, events: [] };
  }
}

/** Events that a backfill brings were decided elsewhere: contract and `evolve` check them. No live command is of that name. */
function decisionOn(entity: AnyEntity, state: unknown, message: CommandMessage, { origin }: Intake): Decision {
  if (origin === 'backfill' && message.name === TAKE_EVENTS) return message.data as readonly NewEvent[];
  return decide(entity, state, message.name, parseCommand(entity, message));
}

/** What travels beside the data. Past the client's door it may be anything. */
function checkAddressed(message: CommandMessage): void {
  const reason = badAddress(message) ?? unstorable(message.meta ?? null);
  if (reason) throw new CommandFailed('reprise.command_invalid', reason);
  if (message.occurredAt !== undefined && !isStorableTime(message.occurredAt)) {
    throw new CommandFailed('reprise.command_invalid', 'occurredAt is not an ISO 8601 time of the years 0001 to 9999');
  }
}

interface ToApply {
  readonly message: CommandMessage;
  readonly decided: readonly NewEvent[];
  readonly intake: Intake;
}

function applyEvents(entity: AnyEntity, before: DecidedEntity, { message, decided, intake }: ToApply): Step {
  let { state, version, publishedVersion } = before;
  const events = decided.map((event): DecidedEvent => {
    const applied = apply(entity, state, event);
    const { contract, data, published } = applied;
    state = applied.state;
    version += 1;
    const publishedAfter = intake.published && contract.visibility === 'public' ? publishedVersion : null;
    if (publishedAfter !== null) publishedVersion = version;
    const { entityType, entityId, commandId, meta = {}, occurredAt = null } = message;
    const { type, schemaVersion } = event;
    const of = { entityType, entityId, version, type, schemaVersion, data, meta, commandId };
    return { ...of, publishedAfter, published, occurredAt };
  });
  if (events.length > 0) checkState(state);
  const firstVersion = events.length > 0 ? before.version + 1 : null;
  const { commandId } = message;
  return {
    outcome: { outcome: 'accepted', commandId, firstVersion, lastVersion: version, offset: null },
    entity: { ...before, state, version, publishedVersion },
    events,
  };
}
