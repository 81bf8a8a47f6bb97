import {
  allHandlersFinished,
  condition,
  defineUpdate,
  proxyLocalActivities,
  setHandler,
  workflowInfo,
  continueAsNew,
} from '@temporalio/workflow';

export const bareUpdate = defineUpdate<number, [string]>('bare');

const { nothing } = proxyLocalActivities<{ nothing(batch: readonly string[]): Promise<number> }>({
  startToCloseTimeout: '30 seconds',
});

const FINAL = 'ship';
const LEAVE_WAIT_MS = 1_000;

/** What Temporal itself costs: our entity workflow's life cycle, with a local activity that does nothing. */
export async function bareEntity(): Promise<void> {
  const waiting: { readonly command: string; readonly answer: (version: number) => void }[] = [];
  let version = 0;
  let final = false;
  setHandler(bareUpdate, (command) => new Promise((answer) => waiting.push({ command, answer })));
  for (;;) {
    await condition(() => waiting.length > 0);
    const batch = waiting.splice(0);
    await nothing(batch.map(({ command }) => command));
    for (const { command, answer } of batch) {
      version += 1;
      final ||= command === FINAL;
      answer(version);
    }
    while (waiting.length === 0 && (final || workflowInfo().continueAsNewSuggested)) {
      if ((await condition(() => waiting.length > 0, LEAVE_WAIT_MS)) || !allHandlersFinished()) continue;
      if (final) return;
      await continueAsNew<typeof bareEntity>();
    }
  }
}
