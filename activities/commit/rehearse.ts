import type { Pool } from 'pg';
import type { CommandMessage, Outcome } from '../../contracts/message';
import type { Model } from '../../model/model';
import { asKnown, decideBatch, type Intake } from './decide';
import { commandKey, entityKey, type Known, type KnownCommand, type KnownEntity } from './known';
import { load } from './load';

export interface Rehearsal {
  /** What a commit of the batch would answer, after all that was rehearsed before. Writes nothing. */
  readonly rehearse: (batch: readonly CommandMessage[]) => Promise<readonly Outcome[]>;
  /** How many entities it keeps in memory, as they would be. */
  readonly size: () => number;
}

/** Decides as the commit does, on what lies in the database and what it would have committed itself. */
export function makeRehearsal(db: Pool, model: Model, intake: Intake): Rehearsal {
  const entities = new Map<string, KnownEntity>();
  const commands = new Map<string, KnownCommand>();

  async function rehearse(batch: readonly CommandMessage[]): Promise<readonly Outcome[]> {
    const known = over(await load(db, model, batch), batch);
    const decided = decideBatch(model, known, batch, intake);
    for (const { entityType, entityId, ...entity } of decided.entities) {
      entities.set(entityKey({ entityType, entityId }), entity);
    }
    for (const { message, bodyHash, outcome } of decided.commands) {
      commands.set(commandKey(message), asKnown(bodyHash, outcome));
    }
    return decided.outcomes;
  }

  function over(loaded: Known, batch: readonly CommandMessage[]): Known {
    const known = { entities: new Map(loaded.entities), commands: new Map(loaded.commands) };
    for (const message of batch) {
      const entity = entities.get(entityKey(message));
      const command = commands.get(commandKey(message));
      if (entity) known.entities.set(entityKey(message), entity);
      if (command) known.commands.set(commandKey(message), command);
    }
    return known;
  }

  return { rehearse, size: () => entities.size };
}
