import type { EventContract, Meta, NewEvent } from '../../contracts/event';
import { toPublic, type PublicShape } from '../../contracts/public-shape';
import type { CommandMessage, FailureCode, Outcome } from '../../contracts/message';
import { isStorableTime, isTooDeep, unlikeJson, unstorable } from '../../contracts/storable';
import { BehindCode, lift } from '../../contracts/upcast';
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

/** Decides a batch in order, each command on the state the one before left. Pure; one bad command fails alone. */
export function decideBatch(model: Model, known: Known, batch: readonly CommandMessage[]): Decided {
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
    const step = decideOne(model, entity, current, message);
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
export function decideDataRefused(model: Model, known: Known, message: CommandMessage): Decided {
  const { entities, commands, outcomes } = decideBatch(model, known, [message]);
  const [entity] = entities;
  if (!entity || commands.length === 0) return decideBatch(model, known, [message]);
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

function asKnown(hash: string, outcome: Outcome): KnownCommand {
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

function decideOne(model: Model, entity: AnyEntity | undefined, current: DecidedEntity, message: CommandMessage): Step {
  const { commandId } = message;
  try {
    if (current.unfoldable !== undefined) throw new Failed('reprise.evolve_threw', current.unfoldable);
    const { known, data } = parseCommand(model, entity, message);
    const decision = attempt('reprise.decide_threw', () => verdict(known, current.state, message.name, data));
    if ('kind' in decision) {
      return {
        outcome: { outcome: 'refused', commandId, code: decision.code, lastVersion: current.version },
        entity: current,
        events: [],
      };
    }
    return applyEvents(model, known, current, message, decision);
  } catch (error) {
    if (error instanceof BehindCode) throw error;
    // Anything else is domain code that broke its word: a promise for a list, a hole in it.
    const failure = error instanceof Failed ? error : new Failed('reprise.decide_threw', String(error));
    const failed = { outcome: 'failed', commandId, code: failure.code, lastVersion: current.version } as const;
    return { outcome: { ...failed, message: failure.message }, entity: current, events: [] };
  }
}

/** The zod door: what comes out is of the newest version, fits its contract and can be stored. */
function parseCommand(
  model: Model,
  entity: AnyEntity | undefined,
  message: CommandMessage,
): { known: AnyEntity; data: unknown } {
  const contract = model.command(message.entityType, message.name);
  if (!entity || !contract || message.version > contract.version) {
    throw new Failed('reprise.command_unknown', `'${message.name}' version ${message.version} is not known here`);
  }
  const reason = badAddress(message) ?? unstorable([message.data, message.meta ?? null]);
  if (reason) throw new Failed('reprise.command_invalid', reason);
  if (message.occurredAt !== undefined && !isStorableTime(message.occurredAt)) {
    throw new Failed('reprise.command_invalid', 'occurredAt is not an ISO 8601 time of the years 0001 to 9999');
  }
  const lifted = attempt('reprise.command_invalid', () => lift(contract, message.version, message.data));
  const parsed = attempt('reprise.command_invalid', () => contract.schema.safeParse(lifted));
  if (!parsed.success) throw new Failed('reprise.command_invalid', describeIssues(parsed.error.issues));
  return { known: entity, data: parsed.data };
}

function verdict(entity: AnyEntity, state: unknown, command: string, data: unknown): Decision {
  const decision = entity.decide(state, command, data);
  if ('kind' in decision && !Object.hasOwn(entity.refusals, decision.code)) {
    throw new Error(`refusal '${decision.code}' is not in the list of ${entity.name}`);
  }
  return decision;
}

function applyEvents(
  model: Model,
  entity: AnyEntity,
  before: DecidedEntity,
  message: CommandMessage,
  decided: readonly NewEvent[],
): Step {
  let { state, version, publishedVersion } = before;
  const events = decided.map((event): DecidedEvent => {
    const { data, contract } = parseEvent(model, entity, event);
    state = attempt('reprise.evolve_threw', () => entity.evolve(state, { type: event.type, data }));
    version += 1;
    const publishedAfter = contract.visibility === 'public' ? publishedVersion : null;
    if (publishedAfter !== null) publishedVersion = version;
    const { entityType, entityId, commandId, meta = {}, occurredAt = null } = message;
    const { type, schemaVersion } = event;
    const of = { entityType, entityId, version, type, schemaVersion, data, meta, commandId };
    return { ...of, publishedAfter, published: publicShapeOf(contract, data), occurredAt };
  });
  const reason = events.length > 0 ? (unstorable(state) ?? unlikeJson(state)) : null;
  if (reason) throw new Failed('reprise.evolve_threw', `the state ${reason}`);
  const firstVersion = events.length > 0 ? before.version + 1 : null;
  const { commandId } = message;
  return {
    outcome: { outcome: 'accepted', commandId, firstVersion, lastVersion: version, offset: null },
    entity: { ...before, state, version, publishedVersion },
    events,
  };
}

function parseEvent(model: Model, entity: AnyEntity, event: NewEvent): { data: unknown; contract: EventContract } {
  const contract = model.event(event.type);
  if (!contract || !entity.events.includes(contract)) {
    throw new Failed('reprise.event_invalid', `'${event.type}' is not an event of ${entity.name}`);
  }
  if (event.schemaVersion !== contract.version) {
    throw new Failed('reprise.event_invalid', `'${event.type}' was made as version ${event.schemaVersion}`);
  }
  const parsed = attempt('reprise.event_invalid', () => contract.schema.safeParse(event.data));
  if (!parsed.success) throw new Failed('reprise.event_invalid', describeIssues(parsed.error.issues));
  const reason = unstorable(parsed.data) ?? unlikeJson(parsed.data);
  if (reason) throw new Failed('reprise.event_invalid', `'${event.type}' ${reason}`);
  return { data: parsed.data, contract };
}

function publicShapeOf(contract: EventContract, data: unknown): PublicShape | null {
  if (!contract.publicShape) return null;
  const shape = attempt('reprise.event_invalid', () => toPublic(contract, data));
  const reason = unstorable(shape.data) ?? unlikeJson(shape.data);
  if (reason) throw new Failed('reprise.event_invalid', `the public shape of '${contract.type}' ${reason}`);
  return shape;
}

/** A command that fails alone, with the code its sender gets. */
class Failed extends Error {
  constructor(
    readonly code: FailureCode,
    message: string,
  ) {
    super(message.slice(0, FAILURE_MESSAGE_LENGTH_MAX));
  }
}

// Messages travel through Temporal's history; a validation of a large body can name thousands of places.
const FAILURE_MESSAGE_LENGTH_MAX = 500;

function attempt<T>(code: FailureCode, run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (error instanceof BehindCode || error instanceof Failed) throw error;
    throw new Failed(code, error instanceof Error ? error.message : String(error));
  }
}

function describeIssues(
  issues: readonly { readonly path: readonly PropertyKey[]; readonly message: string }[],
): string {
  return issues.map(({ path, message }) => `${path.map(String).join('.') || 'data'}: ${message}`).join('; ');
}
