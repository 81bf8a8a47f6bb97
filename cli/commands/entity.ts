import type { Pool } from 'pg';
import { readHistory, readState, readStateAt, type EntityState, type Moment } from '../../client/read';
import { badEntityId } from '../../contracts/ids';
import { isStorableTime } from '../../contracts/storable';
import { openPool } from '../../db/pool';
import type { AnyEntity } from '../../model/entity';
import type { Model } from '../../model/model';
import { findContext, loadModel } from '../context';
import { CliFailure } from '../failure';
import { table, type Output } from '../output';

interface Asked {
  readonly db: Pool;
  readonly model: Model;
  readonly entity: AnyEntity;
  readonly id: string;
}

export async function showEntity(output: Output, args: readonly string[]): Promise<void> {
  await withEntity(args, async ({ db, model, entity, id }) => {
    tellState(output, entity, id, await readState(db, model, entity, id));
  });
}

export async function showEntityAt(
  output: Output,
  args: readonly string[],
  options: Record<string, unknown>,
): Promise<void> {
  const moment = parseMoment(args[2] ?? '', options['occurred'] === true);
  await withEntity(args, async ({ db, model, entity, id }) => {
    tellState(output, entity, id, await readStateAt(db, model, entity, id, moment));
  });
}

export async function listEvents(output: Output, args: readonly string[]): Promise<void> {
  await withEntity(args, async ({ db, model, entity, id }) => {
    const events = await readHistory(db, model, entity, id);
    if (events.length === 0) throw noEvents(entity, id);
    output.result({ events }, () =>
      table(
        events.map(({ version, type, occurredAt, recordedAt, commandId, data }) => ({
          version,
          type,
          occurred_at: occurredAt,
          recorded_at: recordedAt,
          command_id: commandId,
          data,
        })),
      ),
    );
  });
}

async function withEntity([type = '', id = '']: readonly string[], work: (asked: Asked) => Promise<void>) {
  const context = findContext();
  const model = loadModel(context.project);
  const entity = model.entity(type);
  if (!entity) {
    const known = model.entities.map(({ name }) => name).join(', ');
    throw new CliFailure('usage', `the model has no entity '${type}'`, `It has: ${known}`, 2);
  }
  const bad = badEntityId(id);
  if (bad) throw new CliFailure('usage', `no id of an entity: ${bad}`, undefined, 2);
  const db = openPool({ url: context.urlOf('read'), max: 1, applicationName: 'reprise-cli' });
  try {
    await work({ db, model, entity, id });
  } finally {
    await db.end();
  }
}

function tellState(output: Output, entity: AnyEntity, id: string, found: EntityState | null): void {
  if (!found) throw noEvents(entity, id);
  output.result({ entityType: entity.name, entityId: id, ...found }, () => [
    `${entity.name}/${id} at version ${found.version}, updated ${found.updatedAt}`,
    JSON.stringify(found.state, null, 2),
  ]);
}

const noEvents = (entity: AnyEntity, id: string): CliFailure =>
  new CliFailure('not_found', `${entity.name}/${id} has no events, or none of then`);

// Date takes 'note 3' for a day in March 2001, and a time without its zone for one of this machine's.
function parseMoment(text: string, occurred: boolean): Moment {
  if (/^\d{1,9}$/.test(text) && !occurred) return Number(text);
  const iso = /^\d{4}-\d{2}-\d{2}$/.test(text) ? `${text}T00:00:00Z` : text;
  if (!isStorableTime(iso)) {
    throw new CliFailure(
      'usage',
      `'${text}' is neither a version nor a time with its zone`,
      "Like '3' or '2026-11-24T10:00:00Z'",
      2,
    );
  }
  return occurred ? { occurred: new Date(iso) } : new Date(iso);
}
