import { resolve } from 'node:path';
import { performance } from 'node:perf_hooks';
import type { Pool } from 'pg';
import { makeProjector } from '../activities/project';
import { describeTable } from '../db/read-model-table';
import { tailLog } from '../activities/tail';
import { resetProjection } from '../db/generations';
import { migrate } from '../db/migrate';
import { openPool } from '../db/pool';
import { roleUrl } from '../db/urls';
import { listenForWakes } from '../db/wake';
import { removePostgres, startPostgres } from '../embedded/postgres';
import { model } from '../shop/model';
import { orderSummary } from '../shop/order/projections';
import { median } from './measure';
import type { Report, Row } from './report';

const ORDERS = 100_000;
const EVENTS_PER_ORDER = 3;
const BATCH = 5_000;
const ROUNDS = 3;
const DIR = resolve(__dirname, '../.reprise/bench-projector');

/** The projector folding a log into order_summary, beside a hand-written loop over the same events. */
export async function benchProjector(log: (line: string) => void, { short }: { short: boolean }): Promise<Report> {
  const orders = short ? ORDERS / 10 : ORDERS;
  await removePostgres(DIR);
  const postgres = await startPostgres({ dir: DIR, port: 54_324, log });
  try {
    await migrate(postgres.url, { model, owned: true });
    const owner = openPool({ url: postgres.url, max: 2, applicationName: 'bench' });
    const projectUrl = roleUrl('project', {}, { url: postgres.url, owned: true }).url;
    const db = openPool({ url: projectUrl, max: 4, applicationName: 'bench' });
    await fill(owner, orders);
    const loop: number[] = [];
    const ours: number[] = [];
    for (let round = 1; round <= ROUNDS; round++) {
      loop.push((orders * EVENTS_PER_ORDER) / (await runLoop(owner)));
      await resetProjection(postgres.url, orderSummary);
      await owner.query('vacuum analyze read.order_summary__g1');
      ours.push((orders * EVENTS_PER_ORDER) / (await runOurs(db, projectUrl)));
      log(`round ${round}: hand-written loop ${loop.at(-1)?.toFixed(0)}/s, projector ${ours.at(-1)?.toFixed(0)}/s`);
    }
    await checkEqual(owner);
    await owner.end();
    await db.end();
    return {
      rows: [row('hand-written batch loop', loop), row('projector', ours)],
      figures: {
        projector_vs_batch_loop: median(ours) / median(loop),
        stream_events_per_second: median(loop),
        projector_events_per_second: median(ours),
      },
    };
  } finally {
    await postgres.stop();
    await removePostgres(DIR);
  }
}

const row = (what: string, rates: readonly number[]): Row => ({
  what,
  perSecond: median(rates),
  p50Ms: NaN,
  p99Ms: NaN,
});

/** Orders created, paid and shipped, in the 64 partitions, as the commit would have written them. */
async function fill(owner: Pool, orders: number): Promise<void> {
  await owner.query(
    `insert into reprise.events
       (partition, "offset", event_id, entity_type, entity_id, version, type, schema_version, data, meta, command_id,
        origin, published_after, occurred_at, recorded_at)
     select (o % 64)::smallint, row_number() over (partition by o % 64 order by o, v), gen_random_uuid(), 'order',
            o::text, v, (array['order.created', 'order.paid', 'order.shipped'])[v], 1,
            (array[
              jsonb_build_object('customerId', 'VINET', 'currency', 'EUR', 'terms', 'account', 'totalMinor', 16800,
                'freightMinor', 100, 'lines', '[{"productId":"11","unitPriceMinor":1400,"quantity":12,'
                '"discountPercent":0,"lineMinor":16800}]'::jsonb),
              '{"amountMinor":16900}'::jsonb, '{"carrier":"DHL"}'::jsonb])[v],
            '{}', v || '-' || o, 'live', v - 1, clock_timestamp(), clock_timestamp()
     from generate_series(1, $1::integer) as o, generate_series(1, 3) as v`,
    [orders],
  );
  await owner.query(
    `update reprise.partitions p set head = e.head
     from (select partition, max("offset") as head from reprise.events group by partition) e
     where e.partition = p.partition`,
  );
  await owner.query('vacuum analyze reprise.events');
}

interface LoopRow {
  status: string;
  customer: string;
  total: number;
  created: string | null;
  paid: string | null;
  shipped: string | null;
  version: number;
}

/** As one writes it by hand, knowing the one table: read 5,000 of a partition, fold, upsert, checkpoint. Seconds. */
async function runLoop(owner: Pool): Promise<number> {
  await owner.query(`drop table if exists bench_summary, bench_checkpoint`);
  await owner.query(
    `create table bench_summary (order_id text primary key, customer_id text, status text, currency text,
       total_minor bigint, freight_minor bigint, lines integer, units integer, created_at timestamptz,
       paid_at timestamptz, shipped_at timestamptz, cancelled_at timestamptz, version integer)`,
  );
  await owner.query(`create table bench_checkpoint (partition smallint primary key, next_offset bigint)`);
  const startedAt = performance.now();
  for (let partition = 0; partition < 64; partition++) {
    for (let next = 1; ;) {
      const moved = await loopOnce(owner, partition, next);
      if (moved === next) break;
      next = moved;
    }
  }
  return (performance.now() - startedAt) / 1000;
}

async function loopOnce(owner: Pool, partition: number, next: number): Promise<number> {
  const tx = await owner.connect();
  try {
    await tx.query('begin');
    const { rows: events } = await tx.query<{
      offset: number;
      entity_id: string;
      version: number;
      type: string;
      data: { customerId: string; totalMinor: number };
      occurred_at: string;
    }>({
      name: 'loop_read',
      text: `select "offset", entity_id, version, type, data, occurred_at from reprise.events
             where partition = $1::smallint and "offset" >= $2::bigint order by "offset" limit $3::integer`,
      values: [partition, next, BATCH],
    });
    if (events.length === 0) {
      await tx.query('rollback');
      return next;
    }
    const ids = [...new Set(events.map(({ entity_id }) => entity_id))];
    const { rows: known } = await tx.query<LoopRow & { order_id: string }>({
      name: 'loop_load',
      text: `select order_id, status, customer_id as customer, total_minor as total, created_at as created,
                    paid_at as paid, shipped_at as shipped, version
             from bench_summary where order_id = any($1::text[])`,
      values: [ids],
    });
    const folded = new Map<string, LoopRow>(known.map((one) => [one.order_id, one]));
    for (const { entity_id, version, type, data, occurred_at } of events) {
      const before = folded.get(entity_id);
      const empty = { status: '', customer: '', total: 0, created: null, paid: null, shipped: null, version: 0 };
      const one: LoopRow = { ...(before ?? empty), version };
      if (type === 'order.created') {
        Object.assign(one, {
          status: 'created',
          customer: data.customerId,
          total: data.totalMinor,
          created: occurred_at,
        });
      } else if (type === 'order.paid') Object.assign(one, { status: 'paid', paid: occurred_at });
      else if (type === 'order.shipped') Object.assign(one, { status: 'shipped', shipped: occurred_at });
      folded.set(entity_id, one);
    }
    const list = [...folded.values()];
    await tx.query({
      name: 'loop_write',
      text: `insert into bench_summary (order_id, customer_id, status, currency, total_minor, freight_minor, lines, units,
               created_at, paid_at, shipped_at, version)
             select a, b, c, 'EUR', d, 100, 1, 12, e, f, g, h
             from unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::timestamptz[], $6::timestamptz[],
                         $7::timestamptz[], $8::integer[]) as v (a, b, c, d, e, f, g, h)
             on conflict (order_id) do update set status = excluded.status, customer_id = excluded.customer_id,
               total_minor = excluded.total_minor, created_at = excluded.created_at, paid_at = excluded.paid_at,
               shipped_at = excluded.shipped_at, version = excluded.version`,
      values: [
        [...folded.keys()],
        list.map(({ customer }) => customer),
        list.map(({ status }) => status),
        list.map(({ total }) => total),
        list.map(({ created }) => created),
        list.map(({ paid }) => paid),
        list.map(({ shipped }) => shipped),
        list.map(({ version }) => version),
      ],
    });
    const after = (events.at(-1)?.offset ?? next - 1) + 1;
    await tx.query({
      name: 'loop_checkpoint',
      text: `insert into bench_checkpoint values ($1::smallint, $2::bigint)
             on conflict (partition) do update set next_offset = excluded.next_offset`,
      values: [partition, after],
    });
    await tx.query('commit');
    return after;
  } finally {
    tx.release();
  }
}

async function runOurs(db: Pool, url: string): Promise<number> {
  const table = await describeTable(db, 'order_summary__g1');
  const projector = makeProjector({ model, projection: orderSummary, generation: 1, table });
  const abort = new AbortController();
  const wakes = listenForWakes(url);
  const startedAt = performance.now();
  let endedAt = NaN;
  await tailLog(projector, {
    db,
    wakes,
    signal: abort.signal,
    // Told with 0 after each pass; the first pass takes all there is.
    heartbeat: (details) => {
      if ((details as { partitionsBehind: number }).partitionsBehind > 0) return;
      void untilCaughtUp();
    },
  });
  await wakes.close();
  return (endedAt - startedAt) / 1000;

  async function untilCaughtUp(): Promise<void> {
    const at = performance.now();
    const { rows } = await db.query(
      `select from reprise.checkpoints c join reprise.partitions p using (partition)
       where c.consumer = 'projection/order_summary' and c.next_offset <= p.head limit 1`,
    );
    if (rows.length > 0 || abort.signal.aborted) return;
    endedAt = at;
    abort.abort();
  }
}

/** Two ways to the same rows, or the comparison is of different work. */
async function checkEqual(owner: Pool): Promise<void> {
  const { rows } = await owner.query(
    `select from read.order_summary a full join bench_summary b using (order_id)
     where (a.status, a.version, a.total_minor, a.customer_id, a.shipped_at)
       is distinct from (b.status, b.version, b.total_minor, b.customer_id, b.shipped_at) limit 1`,
  );
  if (rows.length > 0) throw new Error('the projector and the hand-written loop came to different rows');
}
