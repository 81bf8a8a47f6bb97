import { performance } from 'node:perf_hooks';

export interface Rate {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** Runs `one` until `count` have been done, `inFlight` at a time, each slot in turn; measures rate and latency. */
export async function drive(count: number, inFlight: number, one: (n: number) => Promise<void>): Promise<Rate> {
  const latencies: number[] = [];
  let next = 0;
  const startedAt = performance.now();
  await Promise.all(
    Array.from({ length: inFlight }, async () => {
      for (let n = next++; n < count; n = next++) {
        const sentAt = performance.now();
        await one(n);
        latencies.push(performance.now() - sentAt);
      }
    }),
  );
  const seconds = (performance.now() - startedAt) / 1000;
  return rateOf(latencies, seconds);
}

export function rateOf(latencies: number[], seconds: number): Rate {
  return { perSecond: latencies.length / seconds, p50Ms: quantile(latencies, 0.5), p99Ms: quantile(latencies, 0.99) };
}

export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? NaN;
}

export const median = (values: readonly number[]): number => quantile(values, 0.5);
