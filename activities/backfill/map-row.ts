import type { NewEvent } from '../../contracts/event';
import { badEntityId, badCommandId } from '../../contracts/ids';
import { TAKE_EVENTS, type CommandMessage } from '../../contracts/message';
import { isStorableTime } from '../../contracts/storable';
import type { Backfill, Brought } from '../../model/backfill';
import type { Model } from '../../model/model';
import { errorText } from '../error-text';
import type { SourceRow } from './source';

/** One command of a row, on its way. */
export interface Item {
  readonly row: number;
  readonly line: number | null;
  /** The row's, in its source. */
  readonly id: string;
  readonly nth: number;
  readonly message: CommandMessage;
  readonly bytes: number;
}

/** A row, or a command of it, that is not taken. `nth` -1: the row as a whole. Stored as it is. */
export interface Reject {
  readonly row: number;
  readonly nth: number;
  readonly line: number | null;
  readonly id: string | null;
  readonly entity: string | null;
  readonly code: string;
  readonly message: string | null;
}

export type Mapped = { readonly items: readonly Item[] } | { readonly reject: Reject };

export const ITEMS_OF_A_ROW_MAX = 999;
const ID_BYTES_MAX = 100;
const MESSAGE_LENGTH_MAX = 500;

/** What a row comes to. Pure but for the project's mapping, whose failures are the row's own. */
export function mapRow(model: Model, backfill: Backfill, source: SourceRow): Mapped {
  const { row, line, data, problem, bytes } = source;
  let id: string | null = null;
  const reject = (code: string, message: string): Mapped => ({
    reject: { row, nth: -1, line, id, entity: null, code, message: presentable(message) },
  });
  if (problem !== null) return reject('reprise.row_unreadable', problem);
  try {
    const parsed = backfill.row.safeParse(data);
    if (!parsed.success) return reject('reprise.row_invalid', describe(parsed.error.issues));
    const said: unknown = backfill.id(parsed.data);
    const badId = badRowId(said);
    if (badId !== null) return reject('reprise.row_id_invalid', badId);
    id = said as string;
    const brought: unknown = backfill.map(parsed.data);
    const wrong = badMapping(model, brought);
    if (wrong !== null) return reject('reprise.map_invalid', wrong);
    const known = { row, line, id, bytes };
    const items = (brought as readonly Brought[]).map((one, nth): Item => {
      const message = toMessage(one, `backfill/${backfill.name}/${known.id}/${nth}`, backfill.name);
      return { ...known, nth, message };
    });
    return { items };
  } catch (error) {
    return reject('reprise.map_threw', errorText(error));
  }
}

function toMessage(brought: Brought, commandId: string, name: string): CommandMessage {
  const { entity, id, occurredAt } = brought;
  const said =
    'command' in brought
      ? { name: brought.command.name, version: brought.command.version, data: brought.command.data }
      : { name: TAKE_EVENTS, version: 1, data: brought.events };
  return { entityType: entity.name, entityId: id, commandId, ...said, occurredAt, meta: { actor: `backfill/${name}` } };
}

function badRowId(id: unknown): string | null {
  if (typeof id !== 'string' || id === '') return "the row's id is no text, or empty";
  if (Buffer.byteLength(id) > ID_BYTES_MAX) return `the row's id has more than ${ID_BYTES_MAX} bytes`;
  return badCommandId(id);
}

/** Also for mappings in JavaScript: what it is checked for here would be met as a bug behind the door. */
function badMapping(model: Model, brought: unknown): string | null {
  if (!Array.isArray(brought)) return 'the mapping gave no list';
  if (brought.length > ITEMS_OF_A_ROW_MAX) return `the mapping gave more than ${ITEMS_OF_A_ROW_MAX} commands`;
  for (const one of brought as Partial<Brought & { command: unknown; events: unknown }>[]) {
    const { entity, id, occurredAt, command, events } = one;
    if (!entity || model.entity(entity.name) === undefined)
      return 'the mapping names an entity that is not in the model';
    const badId = typeof id === 'string' ? badEntityId(id) : 'an entity id is a text';
    if (badId !== null) return badId;
    if (typeof occurredAt !== 'string' || !isStorableTime(occurredAt)) {
      return `occurredAt is not an ISO 8601 time with a zone: ${String(occurredAt)}`;
    }
    if (!isCommand(command) && !isEvents(events)) return 'the mapping gave neither a command nor events';
  }
  return null;
}

const isCommand = (command: unknown): boolean => (command as { kind?: unknown } | null)?.kind === 'command';
const isEvents = (events: unknown): boolean =>
  Array.isArray(events) && events.length > 0 && events.every((event) => (event as NewEvent | null)?.kind === 'event');

function describe(issues: readonly { readonly path: readonly PropertyKey[]; readonly message: string }[]): string {
  return issues.map(({ path, message }) => `${path.map(String).join('.') || 'the row'}: ${message}`).join('; ');
}

/** Text that PostgreSQL takes, and a person reads. */
export const presentable = (text: string): string => errorText(text).slice(0, MESSAGE_LENGTH_MAX);
