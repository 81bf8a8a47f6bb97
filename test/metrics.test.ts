import { createServer } from 'node:net';
import { makeCommit, type Commit } from '../activities/commit';
import { makeProjector } from '../activities/project';
import { describeTable } from '../db/read-model-table';
import { relayOutbox } from '../activities/relay';
import { tailLog } from '../activities/tail';
import { migrate } from '../db/migrate';
import { openPool } from '../db/pool';
import { addSink } from '../db/sinks';
import { listenForWakes } from '../db/wake';
import { model } from '../model/model';
import { MessageRefused, SinkUnavailable, type Sink } from '../relay/sink';
import { serveMetrics, type Metrics } from '../workers/metrics';
import { counterTotals } from './support/counter-totals';
import { counterCommand, counters } from './support/counters';
import { scrape } from './support/scrape';
import { testDatabase, type TestDatabase } from './support/system';
import { until } from './support/until';

const CONSUMER = 'projection/counter_totals';
const OF_CONSUMER = `consumer="${CONSUMER}"`;
const poison = new Set<string>();
const projection = counterTotals((entityId) => {
  if (poison.has(entityId)) throw new Error('cannot fold');
});
const ofModel = model({ entities: counters.entities, projections: [projection] });

let database: TestDatabase;
let metrics: Metrics;
let commit: Commit;
let watchOf: ReturnType<Metrics['ofConsumers']>;
const pools: ReturnType<typeof openPool>[] = [];

const poolOf = (role: 'commit' | 'project' | 'relay') => {
  const pool = openPool({ url: database.urlOf(role), max: 6, applicationName: 'test' });
  pools.push(pool);
  return pool;
};

beforeAll(async () => {
  database = await testDatabase();
  await migrate(database.url, { model: ofModel, owned: true });
  metrics = await serveMetrics({ databaseUrl: database.urlOf('read'), host: '127.0.0.1', port: 0 });
  watchOf = metrics.ofConsumers();
  const db = poolOf('commit');
  commit = makeCommit({ db, model: counters, partitions: 64, wake: () => undefined, watch: metrics.ofCommits() });
});
afterAll(async () => {
  await metrics.close();
  await Promise.all(pools.map((pool) => pool.end()));
  await database.drop();
});

/** The tables' figures are up to a second old. */
const figuresWhen = (what: string, fact: (figures: Awaited<ReturnType<typeof scrape>>) => boolean) =>
  until(
    async () => {
      const figures = await scrape(metrics.address);
      return fact(figures) ? figures : null;
    },
    { what },
  );

async function projectUntil(what: string, fact: () => Promise<boolean>): Promise<void> {
  const db = poolOf('project');
  const abort = new AbortController();
  const wakes = listenForWakes(database.urlOf('project'));
  const table = await describeTable(db, 'counter_totals__g1');
  const projector = makeProjector({ model: ofModel, projection, generation: 1, table });
  const watch = watchOf(CONSUMER);
  const running = tailLog(projector, { db, wakes, heartbeat: () => undefined, signal: abort.signal, watch });
  await until(fact, { what });
  abort.abort();
  await running;
  await wakes.close();
}

const behind = async () =>
  (
    await database.db.query<{ partition: number; by: number; seconds: number }>(
      `select c.partition, p.head + 1 - c.next_offset as by,
              extract(epoch from clock_timestamp() - e.recorded_at)::float8 as seconds
       from reprise.checkpoints c join reprise.partitions p using (partition)
       left join reprise.events e on e.partition = c.partition and e."offset" = c.next_offset
       where c.consumer = $1`,
      [CONSUMER],
    )
  ).rows;
const caughtUp = async () => (await behind()).every(({ by }) => by === 0);

test('invariant 22: lag in the figures is true while the consumer is dead', async () => {
  await commit(['a', 'b', 'c', 'a', 'a'].map((id) => counterCommand(id)));
  await projectUntil('it has caught up once', caughtUp);
  await figuresWhen('no lag', (figures) => figures.sum(`reprise_lag_events{${OF_CONSUMER}`) === 0);

  const more = Array.from({ length: 40 }, (_, n) => counterCommand(`dead-${n % 7}`));
  await commit(more); // and nothing runs that would apply them
  const figures = await figuresWhen('all of it', (now) => now.sum(`reprise_lag_events{${OF_CONSUMER}`) === 40);
  const counted = await behind();
  expect(counted).toHaveLength(64);
  for (const { partition, by, seconds } of counted) {
    const labels = `{${OF_CONSUMER},generation="1",partition="${partition}"}`;
    expect(figures.of(`reprise_lag_events${labels}`)).toBe(by);
    const told = figures.of(`reprise_lag_seconds${labels}`) ?? NaN;
    if (by === 0) expect(told).toBe(0);
    else expect(told).toBeGreaterThan(0);
    expect(told).toBeLessThanOrEqual(seconds ?? 0);
  }
  expect(figures.of(`reprise_checkpoints{${OF_CONSUMER},generation="1",status="running"}`)).toBe(64);
  expect(figures.of(`reprise_checkpoints{${OF_CONSUMER},generation="1",status="paused"}`)).toBe(0);
  expect(figures.of('reprise_database_up')).toBe(1);
});

test('what is applied, tried again and parked is counted', async () => {
  await projectUntil('it has caught up', caughtUp);
  const before = await scrape(metrics.address);
  poison.add('bad');
  await commit(['bad', 'good', 'bad'].map((id) => counterCommand(id)));
  await projectUntil('others are there', caughtUp);
  const after = await figuresWhen(
    'the parked one',
    (now) => now.of(`reprise_parked_entities{${OF_CONSUMER},generation="1"}`) === 1,
  );
  const moved = (name: string) =>
    (after.of(`${name}{${OF_CONSUMER}}`) ?? NaN) - (before.of(`${name}{${OF_CONSUMER}}`) ?? 0);
  expect(moved('reprise_applied_events_total')).toBe(1);
  expect(moved('reprise_errors_total')).toBeGreaterThanOrEqual(3);
  expect(moved('reprise_retries_total')).toBeGreaterThanOrEqual(2);
  expect(after.of(`reprise_retry_ratio{${OF_CONSUMER}}`)).toBeGreaterThan(0);
  await database.db.query(`update reprise.checkpoints set status = 'paused' where consumer = $1 and partition < 10`, [
    CONSUMER,
  ]);
  await figuresWhen(
    'ten paused',
    (now) => now.of(`reprise_checkpoints{${OF_CONSUMER},generation="1",status="paused"}`) === 10,
  );
});

test('what audits found is told, of rows and of states, and when they looked', async () => {
  await database.db.query(
    `insert into reprise.audits (consumer, run, entity_types, ended_at) values ($1, 'a', '{counter}', 'epoch'), ($1, 'b', '{counter}', now())`,
    [CONSUMER],
  );
  await database.db.query(
    `insert into reprise.drifts (consumer, subject, generation, detail) values ($1, 'a', 1, 'total'), ($1, 'b', 1, 'missing')`,
    [CONSUMER],
  );
  const drifts = (consumer: string) => `reprise_audit_drift_entities{consumer="${consumer}"}`;
  const figures = await figuresWhen('both', (now) => now.of(drifts(CONSUMER)) === 2);
  expect(figures.of(drifts('entity/counter'))).toBe(0);
  expect(figures.of(`reprise_audit_last_run_timestamp_seconds{${OF_CONSUMER}}`)).toBeGreaterThan(1_000_000);
});

test('commits are counted, by outcome and code, and a repeat is told apart', async () => {
  const before = await scrape(metrics.address);
  const once = counterCommand('counted');
  await commit([once, counterCommand('counted', { by: 'many' })]);
  await commit([once]);
  const after = await scrape(metrics.address);
  const moved = (series: string) => (after.of(series) ?? 0) - (before.of(series) ?? 0);
  expect(moved('reprise_commands_total{outcome="accepted",code=""}')).toBe(1);
  expect(moved('reprise_commands_total{outcome="failed",code="reprise.command_invalid"}')).toBe(1);
  expect(moved('reprise_commands_total{outcome="repeated",code=""}')).toBe(1);
  expect(moved('reprise_commits_total')).toBe(1);
  expect(moved('reprise_commit_seconds_count')).toBe(1);
});

test('a sink has its backlog while no relay runs, and its publishing counted when one does', async () => {
  await addSink(database.db, { sink: 'bus', kind: 'nats', options: {} });
  await commit(['x', 'y', 'z', 'x'].map((id) => counterCommand(id)));
  const waiting = await figuresWhen('four wait', (now) => now.of('reprise_outbox_rows{sink="bus"}') === 4);
  expect(waiting.of('reprise_outbox_oldest_seconds{sink="bus"}')).toBeGreaterThan(0);

  let failures = 2;
  const publish: Sink['publish'] = ({ key }) => {
    if (key === 'z') return Promise.reject(new MessageRefused('too large'));
    return failures-- > 0 ? Promise.reject(new SinkUnavailable('not now')) : Promise.resolve();
  };
  const abort = new AbortController();
  const wakes = listenForWakes(database.urlOf('relay'));
  const running = relayOutbox('bus', {
    db: poolOf('relay'),
    wakes,
    heartbeat: () => undefined,
    signal: abort.signal,
    open: () => Promise.resolve({ publish, warnings: [], close: () => Promise.resolve() }),
    watch: watchOf('relay/bus'),
  });
  const after = await figuresWhen(
    'only the refused one is left',
    (now) => now.of('reprise_outbox_rows{sink="bus"}') === 1,
  );
  abort.abort();
  await running;
  await wakes.close();
  expect(after.of('reprise_published_total{sink="bus"}')).toBe(3);
  expect(after.of('reprise_publish_seconds_count{sink="bus"}')).toBe(3);
  expect(after.of('reprise_publish_errors_total{sink="bus"}')).toBe(3);
  expect(after.of('reprise_retries_total{consumer="relay/bus"}')).toBe(2);
  expect(after.of('reprise_retry_ratio{consumer="relay/bus"}')).toBeCloseTo(2 / 6);
  expect(after.of('reprise_parked_entities{consumer="relay/bus",generation="0"}')).toBe(1);
});

test('it answers GET /metrics and GET /health, and nothing else', async () => {
  const ask = async (path: string, method = 'GET') => {
    const response = await fetch(new URL(path, metrics.address), { method });
    return [response.status, response.headers.get('content-type'), await response.text()];
  };
  expect(await ask('/health')).toEqual([200, null, 'ok\n']);
  expect((await ask('/metrics?from=prometheus')).slice(0, 2)).toEqual([
    200,
    'text/plain; version=0.0.4; charset=utf-8',
  ]);
  for (const path of ['/', '/metrics/', '/metricsx', '/../etc/passwd', '/health/x'])
    expect((await ask(path))[0]).toBe(404);
  for (const method of ['POST', 'HEAD', 'DELETE']) expect((await ask('/metrics', method))[0]).toBe(404);
  const { 2: text } = await ask('/metrics');
  expect(text).not.toMatch(/counter\/|dead-|password|postgres:/);
});

test('a database that is away or silent is a figure, and what this process counted is still told', async () => {
  const silent = createServer((socket) => void socket.resume()); // takes what it is told and says nothing
  await new Promise<void>((done) => silent.listen(0, '127.0.0.1', done));
  const { port } = silent.address() as { port: number };
  for (const away of ['postgres://nobody:x@127.0.0.1:1/none', `postgres://nobody:x@127.0.0.1:${port}/none`]) {
    const own = await serveMetrics({ databaseUrl: away, host: '127.0.0.1', port: 0 });
    own.ofConsumers()(CONSUMER).onApplied(3);
    const figures = await scrape(own.address);
    expect(figures.of('reprise_database_up')).toBe(0);
    expect(figures.of(`reprise_applied_events_total{${OF_CONSUMER}}`)).toBe(3);
    expect(figures.sum('reprise_lag_events')).toBe(0);
    await own.close();
  }
  await new Promise((done) => silent.close(done));
});

test('a port that is taken is a failure, unless the next ones may be tried', async () => {
  const taken = Number(new URL(metrics.address).port);
  const place = { databaseUrl: database.urlOf('read'), host: '127.0.0.1', port: taken };
  await expect(serveMetrics(place)).rejects.toThrow(/EADDRINUSE/);
  const next = await serveMetrics({ ...place, portsAfter: 50 });
  expect(Number(new URL(next.address).port)).toBeGreaterThan(taken);
  await next.close();
});
