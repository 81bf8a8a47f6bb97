import type { Pool } from 'pg';
import type { CommandMessage } from '../../contracts/message';
import { BehindCode } from '../../contracts/upcast';
import type { Model } from '../../model/model';
import { badAddress, commandKey, entityKey, type Known, type KnownCommand, type KnownEntity } from './known';

interface LoadedRow {
  readonly in_entity_type: string;
  readonly in_entity_id: string;
  readonly in_command_id: string | null;
  readonly of_version: number;
  readonly of_published_version: number;
  readonly of_definition: number;
  readonly of_state: unknown;
  readonly of_body_hash: string;
  readonly of_outcome: KnownCommand['outcome'];
  readonly of_code: string | null;
  readonly of_first_version: number | null;
  readonly of_last_version: number;
  readonly of_offset: number | null;
}

/** States and commands already answered, in one round trip; a state folded by another definition is folded again. */
export async function load(db: Pool, model: Model, asked: readonly CommandMessage[]): Promise<Known> {
  const batch = asked.filter((message) => !badAddress(message));
  const entityRows = [...new Map(batch.map((message) => [entityKey(message), toEntityRow(message)])).values()];
  const commandRows = batch.map((message) => ({ ...toEntityRow(message), command_id: message.commandId }));
  const { rows } = await db.query<LoadedRow>({
    name: 'commit_load',
    text: 'select * from reprise.commit_load($1::jsonb)',
    values: [JSON.stringify({ entities: entityRows, commands: commandRows })],
  });
  const entities = new Map<string, KnownEntity>();
  const commands = new Map<string, KnownCommand>();
  for (const row of rows) {
    const key = { entityType: row.in_entity_type, entityId: row.in_entity_id };
    if (row.in_command_id === null) entities.set(entityKey(key), await toKnownEntity(db, model, row));
    else commands.set(commandKey({ ...key, commandId: row.in_command_id } as CommandMessage), toKnownCommand(row));
  }
  return { entities, commands };
}

const toEntityRow = ({ entityType, entityId }: CommandMessage) => ({ entity_type: entityType, entity_id: entityId });

const toKnownCommand = (row: LoadedRow): KnownCommand => ({
  bodyHash: row.of_body_hash,
  outcome: row.of_outcome,
  code: row.of_code,
  firstVersion: row.of_first_version,
  lastVersion: row.of_last_version,
  offset: row.of_offset,
});

async function toKnownEntity(db: Pool, model: Model, row: LoadedRow): Promise<KnownEntity> {
  const version = row.of_version;
  const publishedVersion = row.of_published_version;
  const entity = model.entity(row.in_entity_type);
  if (!entity || entity.version === row.of_definition) return { version, publishedVersion, state: row.of_state };
  try {
    const state = await foldAgain(db, model, row.in_entity_type, row.in_entity_id, version);
    return { version, publishedVersion, state };
  } catch (error) {
    if (!(error instanceof Unfoldable)) throw error;
    return { version, publishedVersion, state: row.of_state, unfoldable: error.message };
  }
}

const FOLD_PAGE_EVENTS = 1_000;

/** This code's `evolve` or upcast threw on an event that lies in the log. */
class Unfoldable extends Error {}

/** The state at `version`, folded from the first event by this code. Throws `BehindCode` on an event it does not know. */
async function foldAgain(
  db: Pool,
  model: Model,
  entityType: string,
  entityId: string,
  version: number,
): Promise<unknown> {
  const entity = model.entity(entityType);
  let state = entity?.initial;
  for (let after = 0; after < version; after += FOLD_PAGE_EVENTS) {
    const { rows } = await db.query<{ type: string; schema_version: number; data: unknown }>({
      name: 'commit_fold_again',
      text: `select type, schema_version, data from reprise.events
             where entity_type = $1::text and entity_id = $2::text and version > $3::integer and version <= $4::integer
             order by version`,
      values: [entityType, entityId, after, Math.min(after + FOLD_PAGE_EVENTS, version)],
    });
    for (const { type, schema_version, data } of rows) {
      try {
        state = entity?.evolve(state, { type, data: model.decode(type, schema_version, data) });
      } catch (error) {
        if (error instanceof BehindCode) throw error;
        throw new Unfoldable(`folding ${type} again: ${String(error)}`);
      }
    }
  }
  return state;
}
