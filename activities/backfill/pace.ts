import { pause } from '../pause';

const WINDOW_MS = 1_000;
// Over the rate by less than a tenth: what spacing leaves to chance is made up for, and no window is over by more.
const WINDOW_SLACK = 1.05;
const LOOK_AGAIN_MS = 20;

interface Gone {
  readonly count: number;
  /** Null while it is under way: it may yet lie in any window. */
  endedAt: number | null;
}

/** A rate kept by everybody who asks, also where transactions stall and end together: in any second, and evenly in it. */
export class Pace {
  /** When the next may go; no credit is saved up while nobody asks. */
  private nextAt = 0;
  private gone: Gone[] = [];

  /** A second; null: as many as come. */
  rate: number | null = null;

  /** How many may go at once: a twentieth of a second's share. */
  atOnce(max: number): number {
    return this.rate === null ? max : Math.max(1, Math.min(max, Math.floor(this.rate / 20)));
  }

  /** Resolves when `count` more may go, or at once when what it is for is over. To be told when they have gone. */
  async take(count: number, signal: AbortSignal): Promise<() => void> {
    if (this.rate !== null) await this.waitForTurn(count, this.rate, signal);
    while (!signal.aborted && this.isFull(count)) await pause(LOOK_AGAIN_MS, signal);
    const one: Gone = { count, endedAt: null };
    this.gone.push(one);
    return () => {
      one.endedAt = performance.now();
    };
  }

  /** A new rate holds from now on: what was reserved at the old one is not waited for. */
  change(rate: number | null): void {
    if (rate === this.rate) return;
    this.rate = rate;
    this.nextAt = 0;
  }

  private async waitForTurn(count: number, rate: number, signal: AbortSignal): Promise<void> {
    const now = performance.now();
    const at = Math.max(now, this.nextAt);
    this.nextAt = at + (count * 1_000) / rate;
    if (at > now) await pause(at - now, signal);
  }

  private isFull(count: number): boolean {
    const since = performance.now() - WINDOW_MS;
    this.gone = this.gone.filter(({ endedAt }) => endedAt === null || endedAt > since);
    if (this.rate === null || this.gone.length === 0) return false;
    const inWindow = this.gone.reduce((sum, one) => sum + one.count, 0);
    return inWindow + count > Math.floor(this.rate * WINDOW_SLACK);
  }
}
