import { adapt, LIMITS, suffers, type Signals } from './adaptive';
import { Pacer } from './pacer';

const CALM: Signals = { commitP99Ms: 5, waiting: 0, lagSeconds: 0.1, replicationSeconds: null };

test.each<[Partial<Signals>, RegExp | null]>([
  [{}, null],
  [{ commitP99Ms: null }, null],
  [{ commitP99Ms: LIMITS.commitP99Ms + 1 }, /commits take/],
  [{ waiting: LIMITS.waiting + 1 }, /wait for a connection/],
  [{ lagSeconds: LIMITS.lagSeconds + 1 }, /a read model is/],
  [{ replicationSeconds: LIMITS.replicationSeconds + 1 }, /a replica is/],
])('the live side suffers, and it is said of what: %j', (signals, says) => {
  const told = suffers({ ...CALM, ...signals });
  if (says === null) expect(told).toBeNull();
  else expect(told).toMatch(says);
});

test('its share halves while the live side suffers, and comes back slowly; never nothing, never all beside live commands', () => {
  let share = 1;
  const next = (isLive: boolean, isSuffering: boolean) => (share = adapt(share, { isLive, isSuffering }));
  expect(next(true, false)).toBe(0.4);
  expect(next(true, true)).toBe(0.2);
  for (let n = 0; n < 10; n++) next(true, true);
  expect(share).toBe(0.05);
  for (let n = 0; n < 100; n++) next(true, false);
  expect(share).toBe(0.4);
  for (let n = 0; n < 100; n++) next(false, false);
  expect(share).toBe(1);
});

test('invariant 15: whatever comes when, no second holds more than its rate and a tenth', () => {
  let now = 0;
  const pacer = new Pacer(() => now);
  pacer.perSecond = 5_000;
  const passed: { at: number; events: number }[] = [];
  for (let nth = 0; now < 20_000; nth++) {
    if (nth % 50 === 49) now += 700; // it was held up
    const events = pacer.step ?? 0;
    now += pacer.spend(events);
    passed.push({ at: now, events });
    now += 3;
  }
  for (const { at } of passed) {
    const second = passed
      .filter((one) => one.at >= at && one.at < at + 1_000)
      .reduce((sum, one) => sum + one.events, 0);
    expect(second).toBeLessThanOrEqual(5_500);
  }
});
