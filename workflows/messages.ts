import { defineSignal, defineUpdate } from '@temporalio/workflow';
import type { CommandMessage, SentOutcome } from '../contracts/message';
import { COMMIT_UPDATE, POST_SIGNAL } from './names';

/** Answer wanted. The update's own id is fresh per send: command ids travel inside, and `commands` is the dedup. */
export const commitUpdate = defineUpdate<readonly SentOutcome[], [readonly CommandMessage[]]>(COMMIT_UPDATE);

/** Fire and forget. */
export const postSignal = defineSignal<[readonly CommandMessage[]]>(POST_SIGNAL);
