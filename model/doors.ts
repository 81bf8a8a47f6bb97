import type { EventContract, NewEvent } from '../contracts/event';
import type { FailureCode } from '../contracts/message';
import { toPublic, type PublicShape } from '../contracts/public-shape';
import { unlikeJson, unstorable } from '../contracts/storable';
import { BehindCode, lift } from '../contracts/upcast';
import type { AnyEntity, Decision } from './entity';

/** A command that fails alone, with the code its sender gets. */
export class CommandFailed extends Error {
  override readonly name = 'CommandFailed';

  constructor(
    readonly code: FailureCode,
    message: string,
  ) {
    super(message.slice(0, MESSAGE_LENGTH_MAX));
  }
}

// Messages travel through Temporal's history; a validation of a large body can name thousands of places.
const MESSAGE_LENGTH_MAX = 500;

/** The command's data as it is decided on: of the newest version, fitting its contract, storable. Throws `CommandFailed`. */
export function parseCommand(
  entity: AnyEntity,
  { name, version, data }: { readonly name: string; readonly version: number; readonly data: unknown },
): unknown {
  const contract = entity.commands.find(({ type }) => type === name);
  if (!contract || version > contract.version) {
    throw new CommandFailed('reprise.command_unknown', `${entity.name} knows no '${name}' version ${version} here`);
  }
  const reason = unstorable(data);
  if (reason) throw new CommandFailed('reprise.command_invalid', `'${name}' ${reason}`);
  const lifted = attempt('reprise.command_invalid', () => lift(contract, version, data));
  const parsed = attempt('reprise.command_invalid', () => contract.schema.safeParse(lifted));
  if (!parsed.success) throw new CommandFailed('reprise.command_invalid', describeIssues(parsed.error.issues));
  return parsed.data;
}

/** What the entity decides: events not yet checked, or a refusal of its list. Throws `CommandFailed`. */
export function decide(entity: AnyEntity, state: unknown, command: string, data: unknown): Decision {
  return attempt('reprise.decide_threw', () => {
    const decision = entity.decide(state, command, data);
    if ('kind' in decision && !Object.hasOwn(entity.refusals, decision.code)) {
      throw new Error(`'${decision.code}' is not in the refusals of ${entity.name}`);
    }
    return decision;
  });
}

/** A decided event as it will lie in the log, and the state behind it. */
export interface Applied {
  readonly contract: EventContract;
  readonly data: unknown;
  /** What leaves instead of the stored data; null where that is the same, or nothing leaves. */
  readonly published: PublicShape | null;
  readonly state: unknown;
}

/** Takes a decided event: it fits its contract, is of its newest version, and its entity evolves by it. Throws `CommandFailed`. */
export function apply(entity: AnyEntity, state: unknown, event: NewEvent): Applied {
  const contract = entity.events.find(({ type }) => type === event.type);
  if (!contract) {
    throw new CommandFailed('reprise.event_invalid', `'${event.type}' is not an event of ${entity.name}`);
  }
  if (event.schemaVersion !== contract.version) {
    throw new CommandFailed('reprise.event_invalid', `'${event.type}' was made as version ${event.schemaVersion}`);
  }
  const parsed = attempt('reprise.event_invalid', () => contract.schema.safeParse(event.data));
  if (!parsed.success) throw new CommandFailed('reprise.event_invalid', describeIssues(parsed.error.issues));
  const { data } = parsed;
  const reason = unstorable(data) ?? unlikeJson(data);
  if (reason) throw new CommandFailed('reprise.event_invalid', `'${event.type}' ${reason}`);
  const evolved = attempt('reprise.evolve_threw', () => entity.evolve(state, { type: event.type, data }));
  return { contract, data, published: publicShapeOf(contract, data), state: evolved };
}

/** The state behind a command's events comes back from the database as what it was. Throws `CommandFailed`. */
export function checkState(state: unknown): void {
  const reason = unstorable(state) ?? unlikeJson(state);
  if (reason) throw new CommandFailed('reprise.evolve_threw', `the state ${reason}`);
}

function publicShapeOf(contract: EventContract, data: unknown): PublicShape | null {
  if (!contract.publicShape) return null;
  const shape = attempt('reprise.event_invalid', () => toPublic(contract, data));
  const reason = unstorable(shape.data) ?? unlikeJson(shape.data);
  if (reason) throw new CommandFailed('reprise.event_invalid', `the public shape of '${contract.type}' ${reason}`);
  return shape;
}

function attempt<T>(code: FailureCode, run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (error instanceof BehindCode || error instanceof CommandFailed) throw error;
    throw new CommandFailed(code, error instanceof Error ? error.message : String(error));
  }
}

function describeIssues(
  issues: readonly { readonly path: readonly PropertyKey[]; readonly message: string }[],
): string {
  return issues.map(({ path, message }) => `${path.map(String).join('.') || 'data'}: ${message}`).join('; ');
}
