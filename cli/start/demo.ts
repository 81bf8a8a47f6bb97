import type { RepriseClient } from '../../client/client';
import { createClient } from '../../client/client';
import { openPool } from '../../db/pool';
import { readProjections } from '../../db/projections';
import type { Model } from '../../model/model';
import type { AnyEntity } from '../../model/entity';
import { findContext, loadModel, type Project } from '../context';
import type { Output } from '../output';
import { makeProgress } from './progress';
import type { Servers } from './servers';

/** What a project's demo file exports as `demo`. */
export interface Demo {
  readonly name: string;
  /** Variables of workers, where they are not set: a deadline that nobody waits for in a demo. */
  readonly env?: Readonly<Record<string, string>>;
  /** Plays what has not been played. Stops early, whole commands only, when `signal` aborts. */
  readonly play: (stage: Stage) => Promise<Played>;
}

export interface Stage {
  // The demo's own model types it; here any client will do.
  readonly client: RepriseClient<readonly AnyEntity[]>;
  /** Of these entities: the command ids that already have events. */
  readonly played: (entityType: string, entityIds: readonly string[]) => Promise<ReadonlySet<string>>;
  readonly progress: (done: number, total: number) => void;
  readonly signal: AbortSignal;
}

export interface Played {
  /** How many of what it is about, by names of its own: `{ orders: 830 }`. */
  readonly entities: Readonly<Record<string, number>>;
  readonly commands: number;
  readonly alreadyPlayed: number;
  readonly seconds: number;
  /** Of each command, in milliseconds. */
  readonly latenciesMs: readonly number[];
}

const CAUGHT_UP_MS_MAX = 30_000;

/** Plays the demo with a progress line, waits until the read models show it, and sums up. */
export async function playDemo(
  demo: Demo,
  project: Project,
  servers: Servers,
  output: Output,
  signal: AbortSignal,
): Promise<void> {
  const context = findContext(project);
  const model: Model = loadModel(project);
  const databaseUrl = context.urlOf('read');
  const client = await createClient({ model, databaseUrl, temporal: context.temporal, idPrefix: context.idPrefix });
  const db = openPool({ url: databaseUrl, max: 2, applicationName: 'reprise-demo' });
  const progress = makeProgress(demo.name, output);
  try {
    const played = await demo.play({
      client,
      played: async (entityType, entityIds) => {
        const { rows } = await db.query<{ command_id: string }>(
          'select command_id from reprise.events where entity_type = $1::text and entity_id = any($2::text[])',
          [entityType, entityIds],
        );
        return new Set(rows.map((row) => row.command_id));
      },
      progress: progress.tell,
      signal,
    });
    progress.end();
    const lag = await lagAtRest(db, signal);
    await summarize(db, model, demo, played, lag, servers, output);
  } finally {
    progress.end();
    await client.close();
    await db.end();
  }
}

type Db = ReturnType<typeof openPool>;

/** Waits until nothing is unapplied, with a bound, and answers the lag that is left. */
async function lagAtRest(db: Db, signal: AbortSignal): Promise<number> {
  const until = Date.now() + CAUGHT_UP_MS_MAX;
  for (;;) {
    const lag = (await readProjections(db)).reduce((sum, { lag_events }) => sum + lag_events, 0);
    if (lag === 0 || signal.aborted || Date.now() > until) return lag;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function summarize(
  db: Db,
  model: Model,
  demo: Demo,
  played: Played,
  lag: number,
  servers: Servers,
  output: Output,
) {
  const { rows } = await db.query<{ events: number }>(
    'select coalesce(sum(head), 0)::bigint as events from reprise.partitions',
  );
  const sorted = [...played.latenciesMs].sort((a, b) => a - b);
  const quantile = (q: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? null;
  const url = new URL(servers.databaseUrl);
  url.password = '';
  const summary = {
    demo: demo.name,
    ...played.entities,
    commands: played.commands,
    already_played: played.alreadyPlayed,
    events: rows[0]?.events ?? 0,
    commands_per_second: played.seconds > 0 ? Math.round(played.commands / played.seconds) : 0,
    p50_ms: quantile(0.5),
    p99_ms: quantile(0.99),
    projection_lag_events: lag,
    temporal_ui: servers.temporalUi,
    database: url.toString(),
  };
  output.result(summary, () => [
    '',
    `  ${demo.name}`,
    ...Object.entries(played.entities).map(([what, count]) => `  ${what.padEnd(17)}${count}`),
    `  commands         ${summary.commands} sent, ${summary.already_played} played before`,
    `  events           ${summary.events}`,
    ...(played.commands > 0
      ? [
          `  commands/s       ${summary.commands_per_second}`,
          `  latency          p50 ${ms(summary.p50_ms)}, p99 ${ms(summary.p99_ms)}`,
        ]
      : []),
    `  projection lag   ${lag} events`,
    `  Temporal UI      ${servers.temporalUi ?? `at ${servers.temporalAddress}`}`,
    `  database         ${summary.database}`,
    `  read models      ${model.projections.map(({ name }) => `read.${name}`).join(', ')}`,
    '',
  ]);
}

const ms = (value: number | null): string => (value === null ? '-' : `${Math.round(value)} ms`);
