import { badCommandId, badEntityId } from '../../contracts/ids';
import type { CommandMessage } from '../../contracts/message';
import { unstorable } from '../../contracts/storable';

/** An entity as it was when a batch is decided. `version` 0: no events yet. */
export interface KnownEntity {
  readonly version: number;
  readonly publishedVersion: number;
  readonly state: unknown;
  /** Why this code could not fold its events again. Its commands fail; those of other entities do not. */
  readonly unfoldable?: string;
}

/** A command answered before, as `commands` has it. */
export interface KnownCommand {
  readonly bodyHash: string;
  readonly outcome: 'accepted' | 'refused' | 'failed';
  readonly code: string | null;
  readonly firstVersion: number | null;
  readonly lastVersion: number;
  readonly offset: number | null;
}

/** What a batch is decided on. */
export interface Known {
  readonly entities: ReadonlyMap<string, KnownEntity>;
  readonly commands: ReadonlyMap<string, KnownCommand>;
}

/** `/` is in no entity type and no id, so the key is unambiguous. */
export const entityKey = (of: { readonly entityType: string; readonly entityId: string }): string =>
  `${of.entityType}/${of.entityId}`;

export const commandKey = (of: CommandMessage): string => `${of.entityType}/${of.entityId}/${of.commandId}`;

/** Why PostgreSQL may not even be asked about a command, or null. Such a one comes past the client's door. */
export const badAddress = ({ entityType, entityId, commandId }: CommandMessage): string | null =>
  badEntityId(entityId) ?? badCommandId(commandId) ?? unstorable(entityType);
