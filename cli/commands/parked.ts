import { readParked, readParkedKinds, requestRedrive, skipParked } from '../../db/parked';
import { actor } from '../actor';
import { CliFailure } from '../failure';
import { table, type Output } from '../output';
import { withDb } from '../with-db';

export async function listParked(output: Output): Promise<void> {
  await withDb('read', async (db) => {
    const kinds = await readParkedKinds(db);
    output.result({ parked: kinds }, () => table(kinds));
  });
}

export async function showParked(output: Output, [consumer = '', entity]: readonly string[]): Promise<void> {
  await withDb('read', async (db) => {
    const entities = await readParked(db, consumer, entity ?? null);
    if (entities.length === 0) throw notParked(consumer, entity);
    output.result({ parked: entities }, () => table(entities));
  });
}

export async function redriveCommand(output: Output, [consumer = '', entity]: readonly string[]): Promise<void> {
  await withDb('owner', async (db) => {
    const asked = await requestRedrive(db, consumer, entity ?? null);
    if (asked === 0) throw notParked(consumer, entity);
    output.result({ redriving: asked }, () => [
      `${asked} entities go on, in order: 'reprise parked show ${consumer}' shows those that fail again.`,
    ]);
  });
}

export async function skipCommand(
  output: Output,
  [consumer = '', entity = '']: readonly string[],
  options: Record<string, unknown>,
): Promise<void> {
  const reason = typeof options['reason'] === 'string' ? options['reason'].trim() : '';
  if (reason === '') {
    throw new CliFailure('usage', 'a skip needs --reason', 'It is kept, and every replay honours and lists it.', 2);
  }
  await withDb('owner', async (db) => {
    const skipped = await skipParked(db, { consumer, entity, reason, actor: actor() });
    if (!skipped) throw notParked(consumer, entity);
    output.result({ skipped: entity, consumer, reason }, () => [`${entity} goes on behind the event that failed.`]);
  });
}

const notParked = (consumer: string, entity: string | undefined): CliFailure =>
  new CliFailure(
    'not_parked',
    `nothing is parked: ${entity ?? 'no entity'} at '${consumer}'`,
    "See 'reprise parked ls'.",
  );
