import type { CommandToSend } from '../activities/react/run';
import type { AnyEntity } from '../model/entity';
import type { ReactionAnswer } from '../model/reaction';
import { methodOf, type RepriseClient } from './client';
import type { EntityHandle } from './entity-handle';

/** Sends what a reaction asks for. A refusal is an answer; what failed, or has none yet, is thrown and tried again. */
export function makeCommandSender(
  client: RepriseClient<readonly AnyEntity[]>,
): (to: CommandToSend) => Promise<ReactionAnswer> {
  return async ({ entityType, entityId, command, commandId, meta }) => {
    const methods = client as unknown as Record<string, ((id: string) => EntityHandle<AnyEntity>) | undefined>;
    const handle = methods[methodOf(entityType)]?.(entityId);
    if (!handle) throw new Error(`the model has no entity '${entityType}'`);
    const result = await handle.send(command as never, { commandId, meta });
    if (result.outcome === 'accepted') return { outcome: 'accepted', version: result.version };
    if (result.outcome === 'refused') return { outcome: 'refused', version: result.version, code: result.code };
    throw new Error(`${command.name} of ${entityType} was ${result.outcome}: ${result.message}`);
  };
}
