import { setTimeout } from 'node:timers/promises';
import { Pace } from './pace';

const never = new AbortController().signal;

test('no second has more than its share, also when transactions stall and end together', async () => {
  const pace = new Pace();
  pace.change(200);
  const ended: number[] = [];
  const stop = performance.now() + 2_500;
  const lane = async () => {
    while (performance.now() < stop) {
      const count = pace.atOnce(250);
      const gone = await pace.take(count, never);
      // Every tenth of them is held up, and then they end at once.
      if (ended.length % 10 === 0) await setTimeout(150);
      ended.push(...Array.from({ length: count }, () => performance.now()));
      gone();
    }
  };
  await Promise.all([lane(), lane(), lane()]);
  const most = Math.max(...ended.map((to) => ended.filter((at) => at > to - 1_000 && at <= to).length));
  expect(most).toBeLessThanOrEqual(220);
  expect(most).toBeGreaterThan(0);
});

test('one a second still goes, a new rate holds at once, and an end is not waited out', async () => {
  const pace = new Pace();
  expect(pace.atOnce(250)).toBe(250);
  pace.change(1);
  expect(pace.atOnce(250)).toBe(1);
  (await pace.take(1, never))();
  const over = new AbortController();
  const waiting = pace.take(1, over.signal);
  over.abort();
  await waiting;
  pace.change(null);
  await pace.take(1_000_000, never);
});
