import type { Pool } from 'pg';
import type { Build, Wanted } from '../../workflows/replay';
import { pause } from '../pause';
import { adapt, readSignals, suffers } from './adaptive';
import { Pacer } from './pacer';

const LOOK_MS = 500;
const PAUSED_MS = 100;

// Beside live commands a step is some milliseconds of work.
const STEP_BESIDE_LIVE = 1_000;
const WORKED_MS_MAX = 1_000;

export class Cancelled extends Error {
  override readonly name = 'Cancelled';
}

interface Asked {
  readonly wanted: Wanted;
  readonly rate: number | null;
  readonly adaptive: boolean;
  /** Slices that still have something to fill: they share the rate. */
  readonly open: number;
  readonly done: number;
}

/** What is asked of a replay, and the pace that follows from it: for everything a process fills of it. */
export class Governor {
  private readonly pacer = new Pacer();
  private wanted: Wanted = 'run';
  /** Of its time, what it works; the rest is the live side's. */
  private share = 1;
  private passedAt = 0;
  private boundedBy: string | null = null;
  private last: { readonly done: number; readonly at: number } | null = null;
  private passed = 0;
  private over = false;
  private looking: Promise<void> = Promise.resolve();

  constructor(
    private readonly db: Pool,
    private readonly build: Build,
    private readonly slices: number,
    private readonly signal: AbortSignal,
    private readonly heartbeat: (details: unknown) => void,
    /** Progress is read off the checkpoints; where they stand meanwhile, it is what went through here. */
    private readonly counting: 'checkpoints' | 'here' = 'checkpoints',
  ) {}

  async open(): Promise<void> {
    await this.look();
    this.looking = this.keepLooking();
  }

  async close(): Promise<void> {
    this.over = true;
    await this.looking;
  }

  /** How many events are applied at once; null: as many as fit. */
  get step(): number | null {
    const beside = this.yields ? STEP_BESIDE_LIVE : null;
    return this.pacer.step === null ? beside : Math.min(this.pacer.step, beside ?? Infinity);
  }

  /** A rate is kept: checkpoints move as evenly as events. */
  get isPaced(): boolean {
    return this.pacer.step !== null;
  }

  /** It leaves time to the live side. */
  get yields(): boolean {
    return this.share < 1;
  }

  /** Before events are applied: waits for their turn, and for as long as it is paused. Throws `Cancelled`. */
  async pass(events: number): Promise<void> {
    await this.rest();
    await this.pacer.take(events, this.signal);
    while (this.wanted === 'pause' && !this.signal.aborted) await pause(PAUSED_MS, this.signal);
    if (this.wanted === 'cancel') throw new Cancelled('cancelled');
    this.signal.throwIfAborted();
    this.passed += events;
    this.passedAt = performance.now();
  }

  /** After a step, for as long as its share asks. */
  private async rest(): Promise<void> {
    if (!this.yields || this.passedAt === 0) return;
    const worked = Math.min(performance.now() - this.passedAt, WORKED_MS_MAX);
    await pause(worked * (1 / this.share - 1), this.signal);
  }

  private async keepLooking(): Promise<void> {
    while (!this.over && !this.signal.aborted) {
      await pause(LOOK_MS, this.signal);
      // A database that is away for a moment stops the filling by itself, with its own error.
      if (!this.over) await this.look().catch(() => undefined);
    }
  }

  /** Writes down how it goes and reads what is asked; then sets the pace. */
  private async look(): Promise<void> {
    const asked = await this.tell();
    this.last = { done: asked.done, at: performance.now() };
    this.wanted = asked.wanted;
    this.heartbeat({ done: asked.done });
    this.pacer.perSecond = asked.rate === null ? null : asked.rate / Math.max(1, asked.open);
    if (asked.adaptive) await this.adapt();
    else [this.share, this.boundedBy] = [1, null];
  }

  private async adapt(): Promise<void> {
    const signals = await readSignals(this.db);
    const suffering = suffers(signals);
    const isLive = signals.commitP99Ms !== null;
    this.share = adapt(this.share, { isLive, isSuffering: suffering !== null });
    const percent = `${Math.round(this.share * 100)} % of its time`;
    this.boundedBy = this.yields ? `${suffering ?? 'others commit'}: it works ${percent}` : null;
  }

  private async tell(): Promise<Asked> {
    const { consumer, generation } = this.build;
    const { rows } = await this.db.query<Asked>({
      name: 'replay_tell',
      text: `with at as (
               select sum(c.next_offset - 1) as done,
                      count(distinct c.partition % $3::integer) filter (where c.next_offset <= p.head) as open
               from reprise.checkpoints c join reprise.partitions p using (partition)
               where c.consumer = $1::text and c.generation = $2::integer
             )
             update reprise.replays r
             set moved_at = clock_timestamp(), bounded_by = $4::text,
                 per_second = (coalesce($7::bigint, at.done) - $5::bigint)::float8 * 1000 / nullif($6::float8, 0)
             from at
             where r.consumer = $1::text and r.generation = $2::integer
             returning r.wanted, r.rate, r.adaptive, at.open, coalesce($7::bigint, at.done) as done`,
      values: [
        ...[consumer, generation, this.slices, this.boundedBy],
        ...[this.last?.done ?? null, this.last ? performance.now() - this.last.at : null],
        this.counting === 'here' ? this.passed : null,
      ],
    });
    const asked = rows[0];
    if (!asked) throw new Cancelled('its row is gone');
    return { ...asked, done: Number(asked.done) };
  }
}
