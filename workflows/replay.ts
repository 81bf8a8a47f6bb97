import {
  ActivityFailure,
  CancellationScope,
  condition,
  defineQuery,
  defineUpdate,
  isCancellation,
  proxyActivities,
  setCurrentDetails,
  setHandler,
  sleep,
} from '@temporalio/workflow';

/** What a replay is started with. */
export interface ReplayInput {
  readonly projection: string;
  /** Of the fold that builds: a worker with another one refuses. */
  readonly declaredVersion: number;
  /** Folds only these entities again, in a copy of the active generation; null: the whole log. */
  readonly selection: Selection | null;
  /** Events per second for all of it; null is no limit. */
  readonly rate: number | null;
  /** Slows down by itself while commits or read models suffer. */
  readonly adaptive: boolean;
  /** Parts that are filled side by side, by as many workers as there are. */
  readonly slices: number;
  /** Switches as soon as it is verified, or waits to be told. */
  readonly switchWhenVerified: boolean;
  readonly tolerance: Tolerance;
  /** The old generation stays and is fed for so long after the switch. */
  readonly graceMs: number;
  /** Columns may change or leave: the view is dropped and made again. */
  readonly reshape: boolean;
  /** Built and verified, and then removed: nothing is switched. */
  readonly rehearsal: boolean;
  readonly actor: string;
}

/** Entities to fold again from their first event: those named, or those that have events since a time or a position. */
export interface Selection {
  /** `order/10248` */
  readonly entities?: readonly string[];
  readonly entityTypes?: readonly string[];
  /** ISO 8601, of recording. */
  readonly since?: string;
  /** Offset by partition; others are left alone. */
  readonly sinceOffsets?: Readonly<Record<string, number>>;
}

/** How many rows may differ. Zero for the same code; of changed code a report is accepted, or bounded beforehand. */
export interface Tolerance {
  /** Share of all rows, 0 to 1. */
  readonly maxDifferent: number;
}

/** The generation a replay builds. */
export interface Build {
  readonly consumer: string;
  readonly generation: number;
}

export interface Verdict {
  /** Nothing stands in the way of the switch. */
  readonly passed: boolean;
  /** What is said of it in a line. */
  readonly summary: string;
}

export type Wanted = 'run' | 'pause' | 'cancel';

/** What may be asked of a running replay. */
export interface Control {
  readonly wanted?: Wanted;
  /** Null takes the limit away. */
  readonly rate?: number | null;
  readonly adaptive?: boolean;
}

export interface ReplayActivities {
  /** Makes the generation, or finds the one a first try made. */
  begin(input: ReplayInput & { readonly workflowId: string }): Promise<Build>;
  /** Folds a share of the partitions up to their heads of now. Goes on at the checkpoints when it is run again. */
  fill(build: Build, slice: { readonly nth: number; readonly of: number }): Promise<'filled' | 'cancelled'>;
  /** Makes it a copy of the active one and folds the chosen entities again. Goes on where it was; without a choice it does nothing. */
  refold(build: Build): Promise<'refolded' | 'cancelled'>;
  index(build: Build): Promise<void>;
  /** Brings it to the active one's places and compares. `accept`: differences are allowed, whatever they are. */
  verify(build: Build, how: { readonly tolerance: Tolerance; readonly accept: boolean }): Promise<Verdict>;
  /** Applies what it still lacks and puts it in the active one's place. Answers the generation that stands by. */
  switchOver(build: Build, how: { readonly reshape: boolean }): Promise<number>;
  rollBack(build: Build, to: number): Promise<void>;
  drop(build: Build, generation: number, phase: 'dropped' | 'cancelled' | null): Promise<void>;
  control(build: Build, control: Control): Promise<void>;
  /** One line of progress. */
  look(build: Build): Promise<string>;
}

export type Asked = 'verify' | 'accept' | 'switch' | 'cancel' | 'rollback' | 'drop';

export interface ReplayState {
  readonly build: Build | null;
  readonly stage:
    | 'filling'
    | 'verifying'
    | 'different'
    | 'verified'
    | 'switching'
    | 'refused'
    | 'switched'
    | 'rolling-back'
    | 'rolled-back'
    | 'ended';
  readonly verdict: Verdict | null;
}

/** Tells it what to do next. Refused where it makes no sense: a switch before it is verified, a rollback before a switch. */
export const askUpdate = defineUpdate<string, [Asked]>('ask');
export const controlUpdate = defineUpdate<string, [Control]>('control');
export const stateQuery = defineQuery<ReplayState>('state');

const OFTEN = { initialInterval: 500, backoffCoefficient: 2, maximumInterval: '30 seconds' } as const;
const short = proxyActivities<ReplayActivities>({ startToCloseTimeout: '1 minute', retry: OFTEN });
const long = proxyActivities<ReplayActivities>({
  startToCloseTimeout: '30 days',
  heartbeatTimeout: '20 seconds',
  retry: OFTEN,
});
const once = proxyActivities<ReplayActivities>({
  startToCloseTimeout: '10 minutes',
  heartbeatTimeout: '20 seconds',
  retry: { ...OFTEN, nonRetryableErrorTypes: ['Refused'] },
});

const LOOK_MS_MIN = 5_000;
const LOOK_MS_MAX = 60_000;

/** Builds the next generation of a read model beside the active one, proves it right, and puts it in its place. */
export async function replay(input: ReplayInput & { readonly workflowId: string }): Promise<ReplayState['stage']> {
  const run = new Run(input);
  run.listen();
  run.build = await short.begin(input);
  try {
    return await CancellationScope.cancellable(() => run.toItsEnd());
  } catch (error) {
    if (!isCancellation(error)) throw error;
    await CancellationScope.nonCancellable(() => run.dropBuild('cancelled'));
    return 'ended';
  }
}

class Run {
  build: Build | null = null;
  private stage: ReplayState['stage'] = 'filling';
  private verdict: Verdict | null = null;
  private asked: Asked | null = null;
  private givenUp = false;

  constructor(private readonly input: ReplayInput) {}

  listen(): void {
    setHandler(stateQuery, () => ({ build: this.build, stage: this.stage, verdict: this.verdict }));
    setHandler(controlUpdate, (control) => this.control(control), {
      validator: (control: Control) => {
        if (control.rate !== undefined && control.rate !== null && !(control.rate >= 1))
          throw new Error('a rate is at least 1 event per second');
      },
    });
    setHandler(askUpdate, (asked) => this.ask(asked), { validator: (asked: Asked) => this.checkSense(asked) });
  }

  async toItsEnd(): Promise<ReplayState['stage']> {
    if ((await this.fill()) === 'cancelled') return this.dropBuild('cancelled');
    await long.index(this.made);
    // Asked while indexes were made: nothing is filled any more that would have met it.
    if (this.givenUp || !(await this.verified())) return this.dropBuild('cancelled');
    if (this.input.rehearsal) return this.dropBuild('dropped');
    return this.switched();
  }

  private async fill(): Promise<'filled' | 'cancelled'> {
    const nths = Array.from({ length: this.input.slices }, (_, nth) => nth);
    const looking = this.keepLooking();
    try {
      if (this.input.selection && (await long.refold(this.made)) === 'cancelled') return 'cancelled';
      const ends = await Promise.all(nths.map((nth) => long.fill(this.made, { nth, of: nths.length })));
      return ends.includes('cancelled') ? 'cancelled' : 'filled';
    } finally {
      looking.cancel();
    }
  }

  /** Verifies until it passes and the switch is wanted. False: it is given up. */
  private async verified(): Promise<boolean> {
    for (let accept = false; ;) {
      this.stage = 'verifying';
      this.verdict = await long.verify(this.made, { tolerance: this.input.tolerance, accept });
      this.stage = this.verdict.passed ? 'verified' : 'different';
      setCurrentDetails(this.verdict.summary);
      if (this.verdict.passed && (this.input.switchWhenVerified || this.input.rehearsal)) return true;
      if (this.input.rehearsal) return true;
      const asked = await this.next();
      if (asked === 'switch') return true;
      if (asked === 'cancel' || asked === 'drop') return false;
      accept = asked === 'accept';
    }
  }

  /** In its place. The old one is kept for a grace time, for whoever wants it back. */
  private async switched(): Promise<ReplayState['stage']> {
    const old = await this.switchOrWait();
    if (old === null) return this.dropBuild('cancelled');
    setCurrentDetails(`switched; generation ${old} stands by for ${Math.round(this.input.graceMs / 1_000)} s`);
    for (const until = Date.now() + this.input.graceMs; ;) {
      this.stage = 'switched';
      const asked = await this.next(Math.max(0, until - Date.now()));
      if (asked !== 'rollback') break;
      if (await this.rolledBack(old)) return 'rolled-back';
    }
    this.stage = 'ended';
    await short.drop(this.made, old, null);
    return 'switched';
  }

  /** A switch that is refused (entities are parked, columns do not fit) leaves everything as it was, and may be asked again. */
  private async switchOrWait(): Promise<number | null> {
    for (;;) {
      this.stage = 'switching';
      try {
        return await once.switchOver(this.made, { reshape: this.input.reshape });
      } catch (error) {
        this.verdict = { passed: true, summary: `not switched: ${reasonOf(error)}` };
        this.stage = 'refused';
        setCurrentDetails(this.verdict.summary);
        const asked = await this.next();
        if (asked === 'cancel' || asked === 'drop') return null;
      }
    }
  }

  /** One that is refused (the old generation is not at head) leaves it switched, and may be asked again. */
  private async rolledBack(old: number): Promise<boolean> {
    this.stage = 'rolling-back';
    try {
      await once.rollBack(this.made, old);
    } catch (error) {
      this.verdict = { passed: true, summary: `not rolled back: ${reasonOf(error)}` };
      setCurrentDetails(this.verdict.summary);
      return false;
    }
    this.stage = 'rolled-back';
    await short.drop(this.made, this.made.generation, null);
    return true;
  }

  async dropBuild(phase: 'dropped' | 'cancelled'): Promise<ReplayState['stage']> {
    this.stage = 'ended';
    await short.drop(this.made, this.made.generation, phase);
    return 'ended';
  }

  private get made(): Build {
    if (!this.build) throw new Error('no generation was made yet');
    return this.build;
  }

  private async next(withinMs?: number): Promise<Asked | null> {
    const came = () => this.asked !== null;
    if (withinMs === undefined) await condition(came);
    else if (!(await condition(came, withinMs))) return null;
    const asked = this.asked;
    this.asked = null;
    return asked;
  }

  private checkSense(asked: Asked): void {
    const allowed: Record<ReplayState['stage'], readonly Asked[]> = {
      filling: ['cancel'],
      verifying: [],
      different: ['verify', 'accept', 'cancel', 'drop'],
      verified: ['verify', 'switch', 'cancel', 'drop'],
      switching: [],
      refused: ['switch', 'cancel', 'drop'],
      switched: ['rollback', 'drop'],
      'rolling-back': [],
      'rolled-back': [],
      ended: [],
    };
    // One that is not taken yet would be lost behind a second.
    if (this.asked !== null) throw new Error(`${asked}: it is about to ${this.asked}`);
    if (!allowed[this.stage].includes(asked)) throw new Error(`${asked}: it is ${this.stage} now`);
  }

  private async ask(asked: Asked): Promise<string> {
    if (this.stage === 'filling') {
      this.givenUp = true;
      return this.control({ wanted: 'cancel' });
    }
    this.asked = asked;
    await condition(() => this.asked === null);
    return asked;
  }

  private async control(control: Control): Promise<string> {
    await condition(() => this.build !== null);
    await short.control(this.made, control);
    return short.look(this.made);
  }

  /** Shows its progress in Temporal, seldom: each look is three events of history. */
  private keepLooking(): CancellationScope {
    const scope = new CancellationScope();
    scope
      .run(async () => {
        for (let ms = LOOK_MS_MIN; ; ms = Math.min(ms * 1.5, LOOK_MS_MAX)) {
          setCurrentDetails(await short.look(this.made));
          await sleep(ms);
        }
      })
      .catch(() => undefined);
    return scope;
  }
}

/** Why an activity was refused. Thrown on when it was not: a cancellation ends the whole. */
function reasonOf(error: unknown): string {
  if (!(error instanceof ActivityFailure) || isCancellation(error)) throw error;
  return error.cause?.message ?? error.message;
}
