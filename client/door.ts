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
  /** When it happened, if not now. */
  readonly occurredAt?: Date | string;
  readonly meta?: Meta;
}

// Temporal refuses a payload over 2 MiB and a request over 4 MB; a coalesced update stays well below both.
const COMMAND_BYTES_MAX = 1_500_000;

/** The zod door of the client: the message as it will travel, its body as the sender wrote it. Throws `InvalidCommand`. */
export function toMessage(entity: AnyEntity, entityId: string, command: Command, options: PostOptions): CommandMessage {
  const contract = entity.commands.find(({ type }) => type === command.name);
  if (!contract || command.version > contract.version) {
    const known = entity.commands.map(({ type }) => type).join(', ');
    throw new InvalidCommand(
      'reprise.command_unknown',
      `${entity.name} takes no '${command.name}' version ${command.version}: it takes ${known}`,
    );
  }
  const commandId = options.commandId ?? randomUUID();
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

function checkData(command: Command, schema: AnyEntity['commands'][number]['schema']): void {
  const parsed = schema.safeParse(command.data);
  if (parsed.success) return;
  const issues = parsed.error.issues.map(({ path, message }) => ({ path: path.map(String).join('.'), message }));
  const told = issues.map(({ path, message }) => `${path || 'data'}: ${message}`).join('; ');
  throw new InvalidCommand('reprise.command_invalid', `${command.name}: ${told}`, issues);
}

function toIso(time: Date | string): string {
  if (time instanceof Date && !Number.isNaN(time.getTime())) return time.toISOString();
  const text = typeof time === 'string' && DAY.test(time) ? `${time}T00:00:00Z` : time;
  if (typeof text === 'string' && isStorableTime(text)) return text;
  throw new InvalidCommand(
    'reprise.command_invalid',
    `occurredAt '${String(time)}' is not an ISO 8601 time with its zone, such as 1996-07-04T12:00:00Z`,
  );
}

const DAY = /^\d{4}-\d{2}-\d{2}$/;
