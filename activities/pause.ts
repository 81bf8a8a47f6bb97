import { setTimeout } from 'node:timers/promises';

/** Waits for so long, or until `signal` aborts; at once where there is nothing to wait for. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (ms <= 0 || signal.aborted) return;
  await setTimeout(ms, undefined, { signal }).catch(() => undefined);
}
