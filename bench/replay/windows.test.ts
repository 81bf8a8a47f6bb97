import { keptRate, mostInWindow, ratePerSecond, type Sighting } from './windows';

/** A sighting every `stepMs`; each growth is what was applied since the one before. */
function seen(stepMs: number, growths: readonly number[]): Sighting[] {
  let total = 0;
  return [0, ...growths].map((growth, n) => ({ atMs: 1_000_000 + n * stepMs, total: (total += growth) }));
}

const times = (n: number, growth: number): number[] => new Array<number>(n).fill(growth);

test('a steady rate is over in no window, and its mean is the rate', () => {
  expect(keptRate(seen(10, times(500, 50)), 5_000)).toEqual({ maxOver: 0, mean: 1 });
});

test('the fullest window is found wherever it begins, also across whole seconds', () => {
  const growths = times(400, 0);
  growths[150] = 3_000;
  growths[240] = 3_000; // 0.9 s later: in one window with it, in no one second counted by the clock
  growths[350] = 3_000; // 1.1 s later: in no window with the one before
  expect(mostInWindow(seen(10, growths), 1_000)).toBe(6_000);
});

test('what was seen one window after another is not in one window with it', () => {
  expect(mostInWindow(seen(1_000, [5_000, 5_000, 5_000]), 1_000)).toBe(5_000);
});

test('over by a tenth is told as 0.1', () => {
  const growths = times(300, 50);
  growths[100] = 550;
  expect(keptRate(seen(10, growths), 5_000).maxOver).toBeCloseTo(0.1);
});

test('the time before the first event is not part of the mean', () => {
  expect(keptRate(seen(10, [...times(200, 0), ...times(200, 50)]), 5_000).mean).toBeCloseTo(1);
});

test('a run that stood still half of the time has half of the rate', () => {
  expect(keptRate(seen(10, [...times(200, 50), ...times(200, 0)]), 5_000).mean).toBeCloseTo(0.5);
});

test('nothing seen is no rate', () => {
  expect(ratePerSecond([])).toBeNaN();
  expect(mostInWindow([], 1_000)).toBe(0);
  expect(keptRate(seen(10, times(10, 0)), 5_000)).toEqual({ maxOver: 0, mean: 0 });
});
