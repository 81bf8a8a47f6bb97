import { randomUUID } from 'node:crypto';
import type { Command } from '../contracts/command';
import type { Meta } from '../contracts/event';
import { badCommandId, badEntityId } from '../contracts/ids';
import type { CommandMessage } from '../contracts/message';
import { isStorableTime, unstorable } from '../contracts/storable';
import type { AnyEntity } from '../model/entity';
import { InvalidCommand } from './send-result';

export interface PostOptions {
  /** The key for exactly-once; made up when absent, and then a resend is another command. */
  readonly commandId?: string;
  /** Refuse unless the entity is at this version; 0: it has no events yet. */
  readonly expectedVersion?: number;
  /** When it happened, if not now. Part of the body: the same `commandId` with another one is refused. */
  readonly occurredAt?: Date | string;
  /** Who caused it. Not part of the body: a resend may say otherwise, and what was said first stays. */
  readonly meta?: Meta;
  /** Milliseconds to wait for the answer, and for the read models; of a post, until Temporal has it. Default 30,000. */
  readonly deadline?: number;
}

// Temporal refuses a payload over 2 MiB and a request over 4 MB; a coalesced update stays well below both.
const COMMAND_BYTES_MAX = 1_500_000;

/** The zod door of the client: the message as it will travel, its body as the sender wrote it. Throws `InvalidCommand`. */
export function toMessage(entity: AnyEntity, entityId: string, command: Command, options: PostOptions): CommandMessage {
  checkShape(command, options);
  const contract = entity.commands.find(({ type }) => type === command.name);
  if (!contract || !Number.isInteger(command.version) || command.version < 1 || command.version > contract.version) {
    const known = entity.commands.map(({ type }) => type).join(', ');
    throw new InvalidCommand(
      'reprise.command_unknown',
      `${entity.name} takes no '${command.name}' version ${command.version}: it takes ${known}`,
    );
  }
  // Only an absent id is made up: null comes from a caller who believes to have one, and would dedup nothing.
  const commandId = options.commandId === undefined ? randomUUID() : options.commandId;
  const reason =
    badEntityId(entityId) ?? badCommandId(commandId) ?? unstorable([command.data ?? null, options.meta ?? null]);
  if (reason) throw new InvalidCommand('reprise.command_invalid', `${command.name} for ${entity.name}: ${reason}`);
  if (command.version === contract.version) checkData(command, contract.schema);
  const { expectedVersion, meta } = options;
  if (expectedVersion !== undefined && !(Number.isInteger(expectedVersion) && expectedVersion >= 0)) {
    throw new InvalidCommand(
      'reprise.command_invalid',
      `expectedVersion ${expectedVersion} is not a whole number from 0`,
    );
  }
  const message: CommandMessage = {
    entityType: entity.name,
    entityId,
    commandId,
    name: command.name,
    version: command.version,
    data: command.data,
    ...(expectedVersion === undefined ? {} : { expectedVersion }),
    ...(options.occurredAt === undefined ? {} : { occurredAt: toIso(options.occurredAt) }),
    ...(meta === undefined ? {} : { meta }),
  };
  const bytes = bytesOf(message);
  if (bytes > COMMAND_BYTES_MAX) {
    throw new InvalidCommand(
      'reprise.command_too_large',
      `${command.name} has ${bytes} bytes, more than ${COMMAND_BYTES_MAX}: store the large part elsewhere and send its address`,
    );
  }
  return message;
}

export const bytesOf = (message: CommandMessage): number => Buffer.byteLength(JSON.stringify(message));

// Callers without types: from JavaScript, or with a body parsed from JSON.
function checkShape(command: unknown, options: unknown): void {
  const bad = !isRecord(command)
    ? 'the command is no object: make it with its contract'
    : !isRecord(options)
      ? 'the options are no object'
      : badMeta(options['meta']);
  if (bad) throw new InvalidCommand('reprise.command_invalid', bad);
}

const isText = (value: unknown): boolean => typeof value === 'string';
const META_FIELDS: Readonly<Record<string, (value: unknown) => boolean>> = {
  correlationId: isText,
  causationId: isText,
  actor: isText,
  traceparent: isText,
  depth: (value) => Number.isInteger(value) && (value as number) >= 0,
  chain: (value) => Array.isArray(value) && value.every(isText),
};

function badMeta(meta: unknown): string | null {
  if (meta === undefined) return null;
  if (!isRecord(meta)) return 'meta is no object';
  const unknown = Object.keys(meta).find((field) => !Object.hasOwn(META_FIELDS, field));
  if (unknown !== undefined) return `meta has no field '${unknown}': it has ${Object.keys(META_FIELDS).join(', ')}`;
  const wrong = Object.keys(meta).find((field) => meta[field] !== undefined && !META_FIELDS[field]?.(meta[field]));
  return wrong === undefined
    ? null
    : `meta.${wrong} is not what it should be: text, a whole number (depth), texts (chain)`;
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function checkData(command: Command, schema: AnyEntity['commands'][number]['schema']): void {
  const parsed = schema.safeParse(command.data);
  if (parsed.success) return;
  const issues = parsed.error.issues.map(({ path, message }) => ({ path: path.map(String).join('.'), message }));
  const told = issues.map(({ path, message }) => `${path || 'data'}: ${message}`).join('; ');
  throw new InvalidCommand('reprise.command_invalid', `${command.name}: ${told}`, issues);
}

function toIso(time: Date | string): string {
  const text = time instanceof Date && !Number.isNaN(time.getTime()) ? time.toISOString() : time;
  const whole = typeof text === 'string' && DAY.test(text) ? `${text}T00:00:00Z` : text;
  if (typeof whole === 'string' && isStorableTime(whole)) return whole;
  throw new InvalidCommand(
    'reprise.command_invalid',
    `occurredAt '${String(time)}' is not an ISO 8601 time with its zone, such as 1996-07-04T12:00:00Z`,
  );
}

const DAY = /^\d{4}-\d{2}-\d{2}$/;
