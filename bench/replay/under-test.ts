import type { ChildProcess } from 'node:child_process';
import type { BenchServers } from '../servers';

/** `free`: as fast as it goes. `adaptive`: the default, yielding to live work. A number: events/s at most. */
export type Pace = 'free' | 'adaptive' | number;

/** What the bench needs of our replay, of projection `order_summary`. Nothing is ever switched. */
export interface ReplayUnderTest {
  readonly worker: ChildProcess;
  /** Begins a rebuild into the next generation and returns as soon as it was asked for. */
  readonly start: (pace: Pace) => Promise<void>;
  /** Compares the generation that was built with the live one; throws when they differ. How long the comparison took. */
  readonly verify: () => Promise<{ readonly seconds: number }>;
  /** Cancels what runs and drops the generation. */
  readonly drop: () => Promise<void>;
  readonly close: () => Promise<void>;
}

/** Null: replay is not built yet, and only the baselines are measured. */
export const openReplay: (servers: BenchServers) => Promise<ReplayUnderTest | null> = () => Promise.resolve(null);
