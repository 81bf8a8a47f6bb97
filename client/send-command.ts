import type { CommandToSend } from '../activities/react/run';
import type { AnyEntity } from '../model/entity';
import { NoAnswer, type ReactionAnswer } from '../model/reaction';
import { methodOf, type RepriseClient } from './client';
import type { EntityHandle } from './entity-handle';
import { isInvalidArgument } from './grpc-retry';
import { InvalidCommand } from './send-result';

/** Sends what a reaction asks for. A refusal is an answer; what failed is thrown, and `NoAnswer` where nobody gives one yet. */
export function makeCommandSender(
  client: RepriseClient<readonly AnyEntity[]>,
): (to: CommandToSend) => Promise<ReactionAnswer> {
  return async ({ entityType, entityId, command, commandId, meta }) => {
    const methods = client as unknown as Record<string, ((id: string) => EntityHandle<AnyEntity>) | undefined>;
    const handle = methods[methodOf(entityType)]?.(entityId);
    if (!handle) throw new Error(`the model has no entity '${entityType}'`);
    const result = await handle.send(command as never, { commandId, meta }).catch((cause: unknown) => {
      if (cause instanceof InvalidCommand || isInvalidArgument(cause)) throw cause;
      throw new NoAnswer(`${command.name} of ${entityType}: ${(cause as Error).message}`, { cause });
    });
    if (result.outcome === 'accepted') return { outcome: 'accepted', version: result.version };
    if (result.outcome === 'refused') return { outcome: 'refused', version: result.version, code: result.code };
    const message = `${command.name} of ${entityType} was ${result.outcome}: ${result.message}`;
    const hasNoAnswer = result.outcome === 'unknown' || result.code === 'reprise.command_unknown';
    throw hasNoAnswer ? new NoAnswer(message) : new Error(message);
  };
}
