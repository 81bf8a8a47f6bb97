import type { Client } from '@temporalio/client';
import { until } from '../test/support/until';
import { keepConsumersStarted, type WantedConsumer } from './start-consumers';

const LOOK_MS = 5;
const consumer = (name: string): WantedConsumer => ({
  workflowId: name,
  input: { consumer: name, generation: 0, taskQueue: 'q' },
  summary: '',
});

/** What Temporal holds of them: a start finds the running one, or makes one. */
function keep(wanted: WantedConsumer[], startAgainMs: number) {
  const running = new Set<string>();
  let starts = 0;
  const start = (_type: string, { workflowId }: { workflowId: string }) => {
    starts += 1;
    running.add(workflowId);
    return Promise.resolve();
  };
  const stop = new AbortController();
  const client = { workflow: { start } } as unknown as Client;
  const ports = { client, idPrefix: 'p-', queue: 'q', wanted: () => Promise.resolve(wanted) };
  const kept = keepConsumersStarted(ports, stop.signal, { lookMs: LOOK_MS, startAgainMs });
  const end = async () => {
    stop.abort();
    await (
      await kept
    ).ended;
  };
  return { running, starts: () => starts, end, ready: kept };
}

test('one that was terminated is started again while its worker lives', async () => {
  const { running, ready, end } = keep([consumer('a')], 20);
  await ready;
  running.delete('p-a'); // by hand
  await until(() => running.has('p-a'), { what: 'it runs again', withinMs: 5_000 });
  await end();
});

test('one that is added is started at the next look, and those that run are not asked about at each', async () => {
  const wanted = [consumer('a')];
  const { running, ready, starts, end } = keep(wanted, 60_000);
  await ready;
  wanted.push(consumer('b'));
  await until(() => running.has('p-b'), { what: 'it runs', withinMs: 5_000 });
  expect(starts()).toBe(2);
  await end();
});
