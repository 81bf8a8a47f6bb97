import { continueAsNew, sleep } from '@temporalio/workflow';
import type { RecordedEvent } from '../../contracts/event';
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

/** Adds up what comes until a 0, in a new run after every second one. */
export async function tally(input: ProcessInput): Promise<number> {
  const { taken, step, continueAsNew: goOn } = openProcess(input);
  let sum = (input.state as number | undefined) ?? 0;
  for (let nth = 1; ; nth++) {
    const added = (await taken())?.data as { by: number };
    if (added.by === 0) return sum;
    await step('count', added.by);
    sum += added.by;
    if (nth === 2) await goOn(sum);
  }
}

/** Would forget what it counted. */
export async function forgetful(input: ProcessInput): Promise<void> {
  openProcess(input);
  await continueAsNew<typeof forgetful>(input);
}

export async function failing(input: ProcessInput): Promise<void> {
  openProcess(input);
  await sleep(1);
  throw new Error('this process cannot go on');
}

/** Ends at once when it was started by a 0; else when it hears of a 100. */
export async function lasting(input: ProcessInput): Promise<void> {
  const { taken } = openProcess(input);
  const by = (event: RecordedEvent | null) => (event?.data as { by: number }).by;
  if (by(input.event) === 0) return;
  while (by(await taken()) !== 100);
}
