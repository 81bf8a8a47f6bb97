import { makeCommit, type Commit } from '../../activities/commit';
import type { RecordedEvent } from '../../contracts/event';
import { openPool } from '../../db/pool';
import { readReactionStatus, type ReactionStatusRow } from '../../db/reactions';
import { reaction, type AnyReaction, type ReactionContext } from '../../model/reaction';
import { counters, newerCounters } from './counters';
import { TestSystem } from './system';
import { until } from './until';

/** The event that the reactions of these tests are started by. */
export const [counterAdded] = counters.entities[0]?.events ?? [];

export interface Call {
  readonly entityId: string;
  readonly by: number;
  readonly key: string;
  readonly attempt: number;
}

/** A handler that keeps a journal, as the outside would. */
export const recording =
  (calls: Call[], act: (call: Call, context: ReactionContext) => unknown = () => undefined) =>
  async (event: RecordedEvent, context: ReactionContext): Promise<void> => {
    const { idempotencyKey: key, attempt } = context;
    const call = { entityId: event.entityId, by: (event.data as { by: number }).by, key, attempt };
    calls.push(call);
    await act(call, context);
  };

export const declare = (name: string, more: object): AnyReaction =>
  reaction(name, {
    on: [counterAdded as never],
    idempotency: 'key',
    retry: { firstMs: 20, attempts: 3 },
    ...more,
  } as never);

type Standing = Pick<ReactionStatusRow, 'lag_events' | 'open' | 'done' | 'parked' | 'skipped'>;

/** A system of counters without workers yet, a way to commit beside it, and where its reactions stand. */
export interface Reacting {
  readonly system: TestSystem<typeof counters.entities>;
  readonly commit: Commit;
  /** As an entity worker of newer code does. */
  readonly commitAsNewer: Commit;
  readonly statusOf: (name: string) => Promise<Standing>;
  readonly untilStatus: (name: string, wanted: Partial<Standing>, withinMs?: number) => Promise<unknown>;
  readonly atRest: (name: string) => Promise<unknown>;
  /** As after a crash between the starts and the checkpoint. */
  readonly seeAllAgain: (name: string) => Promise<unknown>;
  readonly close: () => Promise<void>;
}

export async function openReacting(): Promise<Reacting> {
  const system = await TestSystem.open(counters);
  const db = openPool({ url: system.database.urlOf('commit'), max: 4, applicationName: 'test' });
  const statusOf = async (name: string): Promise<Standing> =>
    (await readReactionStatus(system.db)).find((row) => row.reaction === name) ?? {
      ...{ lag_events: -1, open: -1, done: -1, parked: -1, skipped: -1 },
    };
  const untilStatus = (name: string, wanted: Partial<Standing>, withinMs?: number) =>
    until(
      async () => {
        const now = await statusOf(name);
        return Object.entries(wanted).every(([what, value]) => now[what as keyof Standing] === value);
      },
      { what: `${name} has ${JSON.stringify(wanted)}`, ...(withinMs === undefined ? {} : { withinMs }) },
    );
  return {
    system,
    commit: makeCommit({ db, model: counters, partitions: 64, wake: () => undefined }),
    commitAsNewer: makeCommit({ db, model: newerCounters, partitions: 64, wake: () => undefined }),
    statusOf,
    untilStatus,
    atRest: (name) => untilStatus(name, { lag_events: 0, open: 0 }),
    seeAllAgain: (name) =>
      system.db.query(`update reprise.checkpoints set next_offset = 1, epoch = epoch + 1 where consumer = $1`, [
        `reaction/${name}`,
      ]),
    close: async () => {
      await system.close();
      await db.end();
    },
  };
}
