import type { Pool } from 'pg';
import { readSteering, TakenOver, type Steering } from '../../db/backfills';
import { pause } from '../pause';
import { Pace } from './pace';

// How long a wish may go unseen.
const LOOK_EVERY_MS = 250;

/** What is wanted of a run, looked up while it runs: its rate, and whether to go on. */
export class Wheel {
  readonly pace = new Pace();
  wanted: Steering['wanted'];
  private readonly over = new AbortController();
  private failure: Error | null = null;

  constructor(
    private readonly db: Pool,
    private readonly run: string,
    private readonly taken: Steering,
    /** Told at each look: a page may take longer than Temporal waits for a sign of life. */
    private readonly heartbeat: () => void,
  ) {
    this.wanted = taken.wanted;
    this.pace.change(taken.rate);
  }

  /** Aborted when it is to stop, also while it waits for its turn. */
  get signal(): AbortSignal {
    return this.over.signal;
  }

  /** Looks on until `signal` aborts. Trouble with looking is told by `check`. */
  async watch(signal: AbortSignal): Promise<void> {
    while (!signal.aborted && !this.over.signal.aborted) {
      await pause(LOOK_EVERY_MS, signal);
      if (!signal.aborted) await this.look().catch((error: Error) => this.fail(error));
    }
  }

  /** Throws when it may not go on; false when it is to stop. */
  check(): boolean {
    if (this.failure) throw this.failure;
    return this.wanted === 'run';
  }

  private async look(): Promise<void> {
    const found = await readSteering(this.db, this.run);
    this.heartbeat();
    if (found?.epoch !== this.taken.epoch) return this.fail(new TakenOver('another owner brings this backfill'));
    this.wanted = found.wanted;
    this.pace.change(found.rate);
    if (found.wanted !== 'run') this.over.abort();
  }

  private fail(error: Error): void {
    this.failure = error;
    this.over.abort();
  }
}
