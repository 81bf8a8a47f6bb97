import { sleep } from '@temporalio/workflow';
import { openProcess, type ProcessInput } from '../../workflows/process';

interface Settings {
  readonly waitMs: number;
}

/** Waits for a second addition; without one it steps outside and adds by itself. */
export async function pairUp(input: ProcessInput<Settings>): Promise<string> {
  const { taken, step, send } = openProcess(input);
  const { entityId } = input.event;
  const second = await taken(['counter.added'], { withinMs: input.settings.waitMs });
  if (second) return `paired with ${second.version}`;
  await step('lonely', { entityId });
  const answer = await send('counter', entityId, { kind: 'command', name: 'add', version: 1, data: { by: 100 } });
  return `added alone: ${answer.outcome}`;
}

export async function failing(input: ProcessInput): Promise<void> {
  openProcess(input);
  await sleep(1);
  throw new Error('this process cannot go on');
}
