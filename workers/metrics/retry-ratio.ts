const WINDOW_SECONDS = 60;

/** Tries and retries of the last minute, second by second: a retry storm shows here before a counter's rate would. */
export class RetryRatio {
  private readonly tries = new Uint32Array(WINDOW_SECONDS);
  private readonly retries = new Uint32Array(WINDOW_SECONDS);
  private second = 0;

  constructor(private readonly now: () => number = Date.now) {}

  count(again: boolean): void {
    const slot = this.slot();
    this.tries[slot] = (this.tries[slot] ?? 0) + 1;
    if (again) this.retries[slot] = (this.retries[slot] ?? 0) + 1;
  }

  /** 0 to 1; 0 when nothing was tried. */
  ratio(): number {
    this.slot();
    const tries = sum(this.tries);
    return tries === 0 ? 0 : sum(this.retries) / tries;
  }

  /** The place of this second, when those that have gone by are emptied. */
  private slot(): number {
    const second = Math.floor(this.now() / 1000);
    for (let nth = Math.max(this.second + 1, second - WINDOW_SECONDS + 1); nth <= second; nth++) {
      this.tries[nth % WINDOW_SECONDS] = 0;
      this.retries[nth % WINDOW_SECONDS] = 0;
    }
    this.second = Math.max(this.second, second);
    return this.second % WINDOW_SECONDS;
  }
}

const sum = (counts: Uint32Array): number => counts.reduce((total, count) => total + count, 0);
