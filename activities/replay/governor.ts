import { setTimeout } from 'node:timers/promises';
import type { Pool } from 'pg';
import type { Build, Wanted } from '../../workflows/replay';
import { adapt, readSignals, suffers } from './adaptive';
import { Pacer } from './pacer';

const LOOK_MS = 500;
const PAUSED_MS = 100;

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
  private adaptedTo: number | null = null;
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
    return this.pacer.step;
  }

  /** Before events are applied: waits for their turn, and for as long as it is paused. Throws `Cancelled`. */
  async pass(events: number): Promise<void> {
    await this.pacer.take(events, this.signal);
    while (this.wanted === 'pause' && !this.signal.aborted) await pause(PAUSED_MS, this.signal);
    if (this.wanted === 'cancel') throw new Cancelled('cancelled');
    this.signal.throwIfAborted();
    this.passed += events;
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
    const measured = this.measure(asked.done);
    this.wanted = asked.wanted;
    this.heartbeat({ done: asked.done });
    const suffering = asked.adaptive ? suffers(await readSignals(this.db)) : null;
    this.adaptedTo = asked.adaptive ? adapt(this.adaptedTo, measured, suffering !== null) : null;
    this.boundedBy = this.adaptedTo === null ? null : (suffering ?? this.boundedBy);
    const whole = Math.min(asked.rate ?? Infinity, this.adaptedTo ?? Infinity);
    this.pacer.perSecond = Number.isFinite(whole) ? whole / Math.max(1, asked.open) : null;
  }

  private measure(done: number): number {
    const at = performance.now();
    const last = this.last;
    this.last = { done, at };
    return last && at > last.at ? ((done - last.done) * 1_000) / (at - last.at) : 0;
  }

  private async tell(): Promise<Asked> {
    const { consumer, generation } = this.build;
    const perSecond = this.last ? this.perSecondSince(this.last) : null;
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
                 per_second = ($5::float8 + coalesce($7::bigint, at.done)::float8) * 1000 / nullif($6::float8, 0)
             from at
             where r.consumer = $1::text and r.generation = $2::integer
             returning r.wanted, r.rate, r.adaptive, at.open, coalesce($7::bigint, at.done) as done`,
      values: [
        ...[consumer, generation, this.slices, this.boundedBy, perSecond?.minusDone ?? null, perSecond?.ms ?? null],
        this.counting === 'here' ? this.passed : null,
      ],
    });
    const asked = rows[0];
    if (!asked) throw new Cancelled('its row is gone');
    return { ...asked, done: Number(asked.done) };
  }

  private perSecondSince({ done, at }: { readonly done: number; readonly at: number }) {
    return { minusDone: -done, ms: performance.now() - at };
  }
}

const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  setTimeout(ms, undefined, { signal }).catch(() => undefined);
