import { setTimeout } from 'node:timers/promises';

/** A rate kept by everybody who asks: what goes is spread evenly, so that no second has more than its share. */
export class Pace {
  /** When the next may go; no credit is saved up while nobody asks. */
  private nextAt = 0;

  /** A second; null: as many as come. */
  rate: number | null = null;

  /** How many may go at once: a twentieth of a second's share, so that no window of a second is over by more. */
  atOnce(max: number): number {
    return this.rate === null ? max : Math.max(1, Math.min(max, Math.floor(this.rate / 20)));
  }

  /** Resolves when `count` more may go, or at once when what it is for is over. */
  async take(count: number, signal: AbortSignal): Promise<void> {
    if (this.rate === null) return;
    const now = performance.now();
    const at = Math.max(now, this.nextAt);
    this.nextAt = at + (count * 1_000) / this.rate;
    if (at > now) await setTimeout(at - now, undefined, { signal }).catch(() => undefined);
  }

  /** A new rate holds from now on: what was reserved at the old one is not waited for. */
  change(rate: number | null): void {
    if (rate === this.rate) return;
    this.rate = rate;
    this.nextAt = 0;
  }
}
