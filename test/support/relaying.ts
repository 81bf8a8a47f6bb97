import { makeCommit } from '../../activities/commit';
import { relayOutbox } from '../../activities/relay';
import type { CommandMessage } from '../../contracts/message';
import { openPool } from '../../db/pool';
import { readSinkStatus, type SinkStatus } from '../../db/sinks';
import { listenForWakes } from '../../db/wake';
import { openSink } from '../../relay/open-sink';
import type { Sink } from '../../relay/sink';
import type { Bus } from './brokers';
import { counters } from './counters';
import { testDatabase } from './system';
import { until } from './until';

export interface Relay {
  readonly stop: () => Promise<void>;
  /** What its turns have ended with. */
  readonly errors: unknown[];
}

export type Relaying = Awaited<ReturnType<typeof openRelaying>>;

/** A database of counters, with what tests ask of its relays. */
export async function openRelaying() {
  const database = await testDatabase();
  const db = openPool({ url: database.urlOf('commit'), max: 4, applicationName: 'test' });
  const relayDb = openPool({ url: database.urlOf('relay'), max: 8, applicationName: 'test' });
  const wakes = listenForWakes(database.urlOf('relay'));
  const commit = makeCommit({ db, model: counters, partitions: 64, wake: () => undefined });

  /** Relays one sink's rows until it is stopped, and is started again when it fails, as its workflow does. */
  function relayTo(sink: string, open: () => Promise<Sink>, parkedMax?: number): Relay {
    const abort = new AbortController();
    const errors: unknown[] = [];
    const ports = { db: relayDb, wakes, heartbeat: () => undefined, signal: abort.signal, open, parkedMax };
    const running = (async () => {
      while (!abort.signal.aborted) {
        await relayOutbox(sink, ports).catch(async (error: unknown) => {
          errors.push(error);
          await new Promise((resolve) => setTimeout(resolve, 50));
        });
      }
    })();
    return {
      errors,
      stop: async () => {
        abort.abort();
        await running;
      },
    };
  }

  const statusOf = async (name: string): Promise<SinkStatus | undefined> =>
    (await readSinkStatus(database.db)).find(({ sink }) => sink === name);
  const waitingFor = async (sink: string) => (await statusOf(sink))?.waiting;

  return {
    database,
    relayDb,
    wakes,
    relayTo,
    startRelay: ({ row, env }: Bus, otherEnv: NodeJS.ProcessEnv = env) =>
      relayTo(row.sink, () => openSink(row, otherEnv)),
    /** Commits these in batches of 100; each entity's own in order. */
    commitAll: async (messages: readonly CommandMessage[]): Promise<void> => {
      for (let from = 0; from < messages.length; from += 100) await commit(messages.slice(from, from + 100));
    },
    statusOf,
    waitingFor,
    emptied: (sink: string) => until(async () => (await waitingFor(sink)) === 0, { what: 'the outbox is empty' }),
    parkedFor: async (sink: string) =>
      (
        await database.db.query<{ entity_id: string; error: string; event_id: string }>(
          'select entity_id, error, event_id from reprise.parked where consumer = $1 order by entity_id',
          [`relay/${sink}`],
        )
      ).rows,
    close: async () => {
      await Promise.all([db.end(), relayDb.end(), wakes.close()]);
      await database.drop();
    },
  };
}
