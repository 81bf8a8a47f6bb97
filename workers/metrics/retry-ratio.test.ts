import { RetryRatio } from './retry-ratio';

test('the retry ratio is of the last minute, and forgets what is older', () => {
  let ms = 1_000_000;
  const ratio = new RetryRatio(() => ms);
  expect(ratio.ratio()).toBe(0);
  for (const again of [false, false, true]) ratio.count(again);
  expect(ratio.ratio()).toBeCloseTo(1 / 3);
  ms += 59_000;
  ratio.count(true);
  expect(ratio.ratio()).toBe(0.5);
  ms += 1_000;
  expect(ratio.ratio()).toBe(1);
  ms += 3_600_000;
  expect(ratio.ratio()).toBe(0);
});
