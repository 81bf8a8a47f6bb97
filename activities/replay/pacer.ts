import { pause } from '../pause';

// A step of a twenty-fifth of the rate: a second then holds at most one more than its share, 4 %.
const STEPS_PER_SECOND = 25;
// What may be made up for after a pause that nobody asked for, in seconds of the rate.
const BURST_SECONDS = 0.05;

/** Lets events through at a rate: a token bucket, of at most a twentieth of a second. */
export class Pacer {
  private rate: number | null = null;
  private readyAt = 0;

  constructor(private readonly now: () => number = () => performance.now()) {}

  /** Events per second; null is no limit. */
  set perSecond(rate: number | null) {
    this.rate = rate;
  }

  /** How many go through in one step; null: as many as there are. */
  get step(): number | null {
    return this.rate === null ? null : Math.max(1, Math.floor(this.rate / STEPS_PER_SECOND));
  }

  /** Milliseconds until `events` may go, which are spent with that. */
  spend(events: number): number {
    if (this.rate === null) return 0;
    const now = this.now();
    this.readyAt = Math.max(this.readyAt, now - BURST_SECONDS * 1_000);
    const waitMs = Math.max(0, this.readyAt - now);
    this.readyAt += (events / this.rate) * 1_000;
    return waitMs;
  }

  async take(events: number, signal: AbortSignal): Promise<void> {
    await pause(this.spend(events), signal);
  }
}
