import { randomUUID } from 'node:crypto';
import { Client, Connection, makeGrpcRetryInterceptor, WithStartWorkflowOperation } from '@temporalio/client';
import type { ChildProcess } from 'node:child_process';
import { makeCommit } from '../activities/commit';
import { createClient } from '../client/client';
import { entityPace } from '../client/grpc-retry';
import { openPool } from '../db/pool';
import { makeGroupCommit } from '../workers/group-commit';
import { roleUrl } from '../db/urls';
import { model } from '../shop/model';
import { addNote, createOrder, payOrder, shipOrder } from '../shop/order/contract';
import { watchLag } from './lag';
import { drive, median, type Rate } from './measure';
import { rssMbWhile, startProcess } from './processes';
import { driveOrders, prepareRaw, rawFunction, rawTransactions } from './raw-pg';
import { startServers } from './servers';
import type { Report, Row } from './report';

const ROUNDS = 3;
// At 1 in flight the sides take turns order by order: a start is fast or slow by what closed just before it.
const ROUNDS_ALONE = 60;
const POOL_MAX = 24;
const IN_FLIGHT_PG = 64;
const IN_FLIGHT = 32;
const LINES = [{ productId: '11', unitPriceMinor: 1_400, quantity: 12, discountPercent: 0 }];
const DUE_MINOR = 16_800;

const STEPS = [
  createOrder({ customerId: 'VINET', currency: 'EUR', terms: 'account', lines: LINES, freightMinor: 0 }),
  payOrder({ amountMinor: DUE_MINOR }),
  shipOrder({ carrier: 'DHL' }),
] as const;
const BARE_STEPS = ['create', 'pay', 'ship'] as const;

/** Commands: raw pg, a bare Temporal entity and ours, in turns on one server, so that a noisy machine is noisy for all. */
export async function benchCommands(log: (line: string) => void, { short }: { short: boolean }): Promise<Report> {
  const servers = await startServers(log);
  const owner = { url: servers.databaseUrl, owned: true };
  const db = openPool({ url: servers.databaseUrl, max: POOL_MAX, applicationName: 'bench-raw' });
  const commitDb = openPool({ url: roleUrl('commit', {}, owner).url, max: POOL_MAX, applicationName: 'bench-commit' });
  const rows: Row[] = [];
  const figures: Record<string, number> = {};
  const children: ChildProcess[] = [];
  try {
    await prepareRaw(db);
    await benchCommit({ db, commitDb, commitUrl: roleUrl('commit', {}, owner).url }, rows, figures, log);

    const env = { BENCH_TEMPORAL: servers.temporalAddress, BENCH_DATABASE_URL: servers.databaseUrl };
    const entityWorker = await startProcess('ours.ts', ['entity'], env);
    children.push(
      entityWorker,
      await startProcess('ours.ts', ['consumers'], env),
      await startProcess('bare.ts', [], env),
    );
    const bare = await bareClient(servers.temporalAddress);
    const ours = await createClient({
      model,
      databaseUrl: roleUrl('read', {}, owner).url,
      temporal: { connection: { address: servers.temporalAddress }, namespace: 'default' },
    });
    let run = 0;
    const playOurs = (commands: number, inFlight: number) => {
      const tag = `o${++run}`;
      return driveOrders(commands, inFlight, async (order, version) => {
        const answer = await ours.order(`${tag}-${order}`).send(STEPS[version - 1] ?? STEPS[0]);
        if (answer.outcome !== 'accepted') throw new Error(JSON.stringify(answer));
      });
    };
    const playBare = (commands: number, inFlight: number) => {
      const tag = `b${++run}`;
      return driveOrders(commands, inFlight, (order, version) =>
        bare(`${tag}-${order}`, BARE_STEPS[version - 1] ?? 'create'),
      );
    };

    log('warming up');
    await playBare(300, IN_FLIGHT);
    await playOurs(300, IN_FLIGHT);

    const lag = watchLag(db);
    const loaded = await inTurns(
      log,
      `${IN_FLIGHT} in flight`,
      () => playBare(900, IN_FLIGHT),
      () => playOurs(900, IN_FLIGHT),
    );
    figures['lag_p99_ms'] = await lag.stop();
    const alone = await alternate(
      () => playBare(3, 1),
      () => playOurs(3, 1),
    );
    const hot = await inTurns(
      log,
      'one busy order, 64 in flight',
      () => drive(1_200, 64, () => bare(`hot-${run}`, 'note')),
      async () => {
        const order = ours.order(`hot-${++run}`);
        await order.send(STEPS[0]);
        return drive(4_800, 64, async (n) => {
          const answer = await order.send(addNote({ text: `note ${n}` }));
          if (answer.outcome !== 'accepted') throw new Error(JSON.stringify(answer));
        });
      },
    );
    rows.push(
      { what: 'bare Temporal entity, 32 in flight', ...loaded.bare },
      { what: 'ours, 32 in flight', ...loaded.ours },
      { what: 'bare Temporal entity, 1 in flight', ...alone.bare },
      { what: 'ours, 1 in flight', ...alone.ours },
      { what: 'bare Temporal entity, one busy, 64 in flight, uncoalesced', ...hot.bare },
      { what: 'ours, one busy order, 64 notes in flight', ...hot.ours },
    );
    figures['bare_temporal_per_second'] = loaded.bare.perSecond;
    figures['entity_per_second'] = loaded.ours.perSecond;
    figures['entity_vs_bare_temporal'] = loaded.ratio((rate) => rate.perSecond);
    figures['entity_latency_vs_bare_temporal'] = alone.ratio((rate) => rate.p50Ms);
    figures['hot_entity_vs_bare_temporal'] = hot.ratio((rate) => rate.perSecond);

    const [from, to, watched] = short ? [600, 2_100, 300] : [5_000, 20_000, 1_500];
    log(`resident memory of the entity worker, from command ${from} to ${to}`);
    await playOurs(from - watched, IN_FLIGHT);
    const before = await rssMbWhile(entityWorker, () => playOurs(watched, IN_FLIGHT));
    await playOurs(to - from - watched, IN_FLIGHT);
    const after = await rssMbWhile(entityWorker, () => playOurs(watched, IN_FLIGHT));
    figures[short ? 'worker_rss_growth_mb_short' : 'worker_rss_growth_mb'] = after - before;
    figures['worker_rss_mb'] = after;
    await ours.close();
  } finally {
    for (const child of children) child.kill('SIGKILL');
    await db.end();
    await commitDb.end();
    await servers.stop();
  }
  return { rows, figures };
}

type Db = ReturnType<typeof openPool>;

/** Without Temporal: one command per call, 64 calls in flight, ours as the worker runs it and one transaction per call. */
async function benchCommit(
  { db, commitDb, commitUrl }: { db: Db; commitDb: Db; commitUrl: string },
  rows: Row[],
  figures: Record<string, number>,
  log: (line: string) => void,
) {
  const commit = makeCommit({ db: commitDb, model, partitions: 64, wake: () => undefined });
  const { commit: grouped, close } = await makeGroupCommit(model, commitUrl);
  const play = (one: typeof commit, tag: string, commands: number) =>
    driveOrders(commands, IN_FLIGHT_PG, async (order, version) => {
      const { name, data } = STEPS[version - 1] ?? STEPS[0];
      const { outcomes } = await one([
        { entityType: 'order', entityId: `${tag}-${order}`, commandId: randomUUID(), name, version: 1, data },
      ]);
      if (outcomes[0]?.outcome !== 'accepted') throw new Error(JSON.stringify(outcomes));
    });
  const rounds: Record<'raw' | 'fn' | 'grouped' | 'single', Rate>[] = [];
  for (let round = 0; round <= ROUNDS; round++) {
    const measured = {
      raw: await rawTransactions(db, `t${round}`, 6_000, IN_FLIGHT_PG),
      fn: await rawFunction(db, `f${round}`, 6_000, IN_FLIGHT_PG),
      grouped: await play(grouped, `g${round}`, 9_000),
      single: await play(commit, `s${round}`, 6_000),
    };
    if (round > 0) rounds.push(measured); // the first is the warm-up
  }
  const of = (name: keyof (typeof rounds)[number], pick: (rate: Rate) => number) =>
    median(rounds.map((round) => pick(round[name])));
  const row = (what: string, name: keyof (typeof rounds)[number]): Row => ({
    what,
    perSecond: of(name, (rate) => rate.perSecond),
    p50Ms: of(name, (rate) => rate.p50Ms),
    p99Ms: of(name, (rate) => rate.p99Ms),
  });
  rows.push(
    row('raw pg, begin .. commit per command', 'raw'),
    row('raw pg, one function call per command', 'fn'),
    row('our commit alone, as the worker runs it', 'grouped'),
    row('our commit alone, one transaction per call', 'single'),
  );
  // First, since it compares like with like: a transaction per command on both sides. The worker commits groups.
  figures['single_commit_vs_raw_pg'] = median(rounds.map(({ single: a, raw: b }) => a.perSecond / b.perSecond));
  figures['raw_pg_per_second'] = of('raw', (rate) => rate.perSecond);
  figures['raw_function_per_second'] = of('fn', (rate) => rate.perSecond);
  figures['commit_per_second'] = of('grouped', (rate) => rate.perSecond);
  figures['commit_vs_raw_pg'] = median(rounds.map(({ grouped: a, raw: b }) => a.perSecond / b.perSecond));
  await close();
  log(
    `commit alone: ${Math.round(figures['commit_per_second'])}/s, raw pg ${Math.round(figures['raw_pg_per_second'])}/s`,
  );
}

interface Turns {
  readonly bare: Rate;
  readonly ours: Rate;
  /** Ours to bare, round by round; the median. */
  readonly ratio: (pick: (rate: Rate) => number) => number;
}

async function inTurns(
  log: (line: string) => void,
  what: string,
  bare: () => Promise<Rate>,
  ours: () => Promise<Rate>,
): Promise<Turns> {
  const pairs: { bare: Rate; ours: Rate }[] = [];
  for (let round = 1; round <= ROUNDS; round++) {
    log(`${what}: round ${round} of ${ROUNDS}`);
    pairs.push({ bare: await bare(), ours: await ours() });
  }
  const middle = (side: 'bare' | 'ours'): Rate => ({
    perSecond: median(pairs.map((pair) => pair[side].perSecond)),
    p50Ms: median(pairs.map((pair) => pair[side].p50Ms)),
    p99Ms: median(pairs.map((pair) => pair[side].p99Ms)),
  });
  return {
    bare: middle('bare'),
    ours: middle('ours'),
    ratio: (pick) => median(pairs.map((pair) => pick(pair.ours) / pick(pair.bare))),
  };
}

/** Single orders in turns; the medians of all of each side's commands are compared. */
async function alternate(bare: () => Promise<Rate>, ours: () => Promise<Rate>): Promise<Turns> {
  const sides = { bare: [] as Rate[], ours: [] as Rate[] };
  for (let round = 1; round <= ROUNDS_ALONE; round++) {
    sides.bare.push(await bare());
    sides.ours.push(await ours());
  }
  const middle = (rates: readonly Rate[]): Rate => ({
    perSecond: median(rates.map((rate) => rate.perSecond)),
    p50Ms: median(rates.map((rate) => rate.p50Ms)),
    p99Ms: median(rates.map((rate) => rate.p99Ms)),
  });
  const [bareMiddle, oursMiddle] = [middle(sides.bare), middle(sides.ours)];
  return { bare: bareMiddle, ours: oursMiddle, ratio: (pick) => pick(oursMiddle) / pick(bareMiddle) };
}

/** Update-with-start on the bare entity, at our own retry pace. */
async function bareClient(address: string): Promise<(id: string, command: string) => Promise<void>> {
  const connection = await Connection.connect({ address, interceptors: [makeGrpcRetryInterceptor(entityPace)] });
  const client = new Client({ connection });
  return async (id, command) => {
    await client.workflow.executeUpdateWithStart('bare', {
      args: [command],
      updateId: randomUUID(),
      startWorkflowOperation: new WithStartWorkflowOperation<never>('bareEntity', {
        workflowId: `bare/${id}`,
        taskQueue: 'bench-bare',
        workflowIdConflictPolicy: 'USE_EXISTING',
      } as never),
    });
  };
}
