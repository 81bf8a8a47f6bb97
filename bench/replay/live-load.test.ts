import { dueCommand } from './live-load';

test('every order is created, paid and shipped, in this order, each once', () => {
  const steps = new Map<string, number[]>();
  for (let n = 0; n < 1_200; n++) {
    const { id, step } = dueCommand(n);
    steps.set(id, [...(steps.get(id) ?? []), step]);
  }
  const histories = [...steps.values()];
  expect(histories.filter((history) => history.some((step, n) => step !== n))).toEqual([]);
  expect(histories.filter((history) => history.length === 3).length).toBeGreaterThan(300);
});

test('no two commands of an order are due within a second at 20 a second', () => {
  const lastAt = new Map<string, number>();
  for (let n = 0; n < 1_200; n++) {
    const { id } = dueCommand(n);
    expect(n - (lastAt.get(id) ?? -Infinity)).toBeGreaterThan(20);
    lastAt.set(id, n);
  }
});
