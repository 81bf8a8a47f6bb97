import { resolve } from 'node:path';
import { performance } from 'node:perf_hooks';
import { jetstream } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import type { Pool } from 'pg';
import { relayOutbox } from '../activities/relay';
import { migrate } from '../db/migrate';
import { openPool } from '../db/pool';
import { addSink } from '../db/sinks';
import { roleUrl } from '../db/urls';
import { listenForWakes } from '../db/wake';
import { removePostgres, startPostgres } from '../embedded/postgres';
import { openSink, type SinkRow } from '../relay/open-sink';
import { model } from '../shop/model';
import { median } from './measure';
import { startNats } from './nats';
import type { Report, Row } from './report';

const MESSAGES = 100_000;
const BATCH = 2_000;
const ROUNDS = 3;
const DIR = resolve(__dirname, '../.reprise/bench-relay');

/** The relay to NATS beside a bare loop that reads a batch in order, publishes it with acknowledgements and deletes it. */
export async function benchRelay(log: (line: string) => void, { short }: { short: boolean }): Promise<Report> {
  const messages = short ? MESSAGES / 10 : MESSAGES;
  await removePostgres(DIR);
  const postgres = await startPostgres({ dir: DIR, port: 54_323, log });
  const nats = await startNats();
  if (!nats) throw new Error('there is no nats-server on the PATH');
  try {
    await migrate(postgres.url, { model, owned: true });
    const owner = openPool({ url: postgres.url, max: 4, applicationName: 'bench' });
    const relayUrl = roleUrl('relay', {}, { url: postgres.url, owned: true }).url;
    const db = openPool({ url: relayUrl, max: 6, applicationName: 'bench' });
    const bench: Bench = { owner, db, relayUrl, natsUrl: nats.url, messages };
    const bare: number[] = [];
    const ours: number[] = [];
    for (let round = 1; round <= ROUNDS; round++) {
      bare.push(await runBare(bench, `bare-${round}`, 10_000));
      ours.push(await runOurs(bench, `ours-${round}`, 10_000));
      log(`round ${round}: bare loop ${bare.at(-1)?.toFixed(0)}/s, relay ${ours.at(-1)?.toFixed(0)}/s`);
    }
    const few = await runOurs(bench, 'few', 100);
    const bytes = await flatness(bench, log, short);
    await owner.end();
    await db.end();
    return {
      rows: [
        row('bare loop, 10,000 entities', bare),
        row('relay, 10,000 entities', ours),
        row('relay, 100 entities', [few]),
      ],
      figures: {
        relay_vs_bare_loop: median(ours) / median(bare),
        relay_vs_bare_loop_100_entities: few / median(bare),
        bare_relay_loop_per_second: median(bare),
        relay_per_second: median(ours),
        ...bytes,
      },
    };
  } finally {
    nats.stop();
    await postgres.stop();
    await removePostgres(DIR);
  }
}

interface Bench {
  readonly owner: Pool;
  readonly db: Pool;
  readonly relayUrl: string;
  readonly natsUrl: string;
  readonly messages: number;
}

const row = (what: string, rates: readonly number[]): Row => ({
  what,
  perSecond: median(rates),
  p50Ms: NaN,
  p99Ms: NaN,
});

/** Rows as the commit makes them, over so many entities, in the 64 partitions. */
async function fill({ owner, messages }: Bench, sink: string, entities: number): Promise<void> {
  await addSink(owner, { sink, kind: 'nats', options: { stream: sink, prefix: sink } });
  await owner.query(
    `insert into reprise.outbox (sink, partition, "offset", event_id, topic, key, message, created_at)
     select $1::text, (n % $2::integer) % 64, n, gen_random_uuid(), 'order.created', (n % $2::integer)::text,
            jsonb_build_object('specversion', '1.0', 'id', gen_random_uuid(), 'source', '/reprise/order',
              'type', 'order.created', 'subject', (n % $2::integer)::text, 'time', clock_timestamp(),
              'datacontenttype', 'application/json', 'dataschema', 'reprise:order.created/1',
              'partitionkey', 'order/' || (n % $2::integer), 'entityversion', n / $2::integer + 1,
              'previousversion', n / $2::integer,
              'data', jsonb_build_object('customerId', 'VINET', 'currency', 'EUR', 'totalMinor', n)),
            clock_timestamp()
     from generate_series(1, $3::integer) as n`,
    [sink, entities, messages],
  );
  await owner.query('vacuum analyze reprise.outbox');
}

async function runBare(bench: Bench, sink: string, entities: number): Promise<number> {
  await fill(bench, sink, entities);
  const opened = await openSink(sinkRow(sink), { NATS_URL: bench.natsUrl }); // makes the stream
  await opened.close();
  const connection = await connect({ servers: bench.natsUrl });
  const js = jetstream(connection);
  const startedAt = performance.now();
  for (;;) {
    const { rows } = await bench.db.query<{
      partition: number;
      offset: number;
      id: string;
      topic: string;
      body: string;
    }>({
      name: 'bare_read',
      text: `select partition, "offset", event_id as id, topic, message::text as body from reprise.outbox
             where sink = $1::text order by sink, partition, "offset" limit $2::integer`,
      values: [sink, BATCH],
    });
    if (rows.length === 0) break;
    await Promise.all(rows.map(({ id, topic, body }) => js.publish(`${sink}.${topic}`, body, { msgID: id })));
    await bench.db.query({
      name: 'bare_delete',
      text: `delete from reprise.outbox o using unnest($2::smallint[], $3::bigint[]) as a (partition, "offset")
             where o.sink = $1::text and o.partition = a.partition and o."offset" = a."offset"`,
      values: [sink, rows.map(({ partition }) => partition), rows.map(({ offset }) => offset)],
    });
  }
  const seconds = (performance.now() - startedAt) / 1000;
  await connection.close();
  return bench.messages / seconds;
}

async function runOurs(bench: Bench, sink: string, entities: number): Promise<number> {
  await fill(bench, sink, entities);
  const abort = new AbortController();
  const wakes = listenForWakes(bench.relayUrl);
  let published = 0;
  let startedAt = 0;
  let emptyAt = 0;
  await relayOutbox(sink, {
    db: bench.db,
    wakes,
    heartbeat: () => undefined,
    signal: abort.signal,
    open: async () => {
      const opened = await openSink(sinkRow(sink), { NATS_URL: bench.natsUrl });
      startedAt = performance.now();
      return opened;
    },
    onPublished: () => {
      published += 1;
      if (published === bench.messages) void untilEmpty();
    },
  });
  await wakes.close();
  return bench.messages / ((emptyAt - startedAt) / 1000);

  /** The last rows are removed as well: the bare loop's clock stops there too. */
  async function untilEmpty(): Promise<void> {
    for (;;) {
      const { rows } = await bench.owner.query('select from reprise.outbox where sink = $1 limit 1', [sink]);
      if (rows.length === 0) break;
    }
    emptyAt = performance.now();
    abort.abort();
  }
}

/** How large the table is after a first tenth, and after all, of a million messages through it. */
async function flatness(bench: Bench, log: (line: string) => void, short: boolean): Promise<Record<string, number>> {
  const sizes: number[] = [];
  for (let nth = 1; nth <= (short ? 2 : 10); nth++) {
    await runOurs(bench, `flat-${nth}`, 10_000);
    const { rows } = await bench.owner.query<{ bytes: number }>(
      `select pg_total_relation_size('reprise.outbox') as bytes`,
    );
    sizes.push(rows[0]?.bytes ?? NaN);
    log(`outbox after ${nth * bench.messages} messages: ${((rows[0]?.bytes ?? NaN) / 2 ** 20).toFixed(1)} MiB`);
  }
  const [first = NaN] = sizes;
  return { outbox_size_growth: (sizes.at(-1) ?? NaN) / first };
}

const sinkRow = (sink: string): SinkRow => ({ sink, kind: 'nats', options: { stream: sink, prefix: sink } });
