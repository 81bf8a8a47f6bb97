import { constants, setPriority } from 'node:os';
import { Client } from '@temporalio/client';
import { connectTemporal } from '../../client/connect';
import { makeTelemetryFilterString, NativeConnection, Runtime, type NativeConnectionOptions } from '@temporalio/worker';
import { bindDatabase } from '../../client/binding';
import { createClient } from '../../client/client';
import { makeCommandSender } from '../../client/send-command';
import { readIdentity } from '../../db/identity';
import { pendingMigrations } from '../../db/migrate';
import { openPool } from '../../db/pool';
import type { Role } from '../../db/urls';
import { runBackfillWorker } from '../../workers/backfill';
import { runConsumersWorker } from '../../workers/consumers';
import { runEntityWorker } from '../../workers/entity';
import { runReactionsWorker } from '../../workers/reactions';
import { runReplayWorker } from '../../workers/replay';
import { placeOf, wallOff } from '../../workers/replay/wall';
import { serveMetrics, type Metrics } from '../../workers/metrics';
import type { Running } from '../../workers/running';
import { keepHeapSteady } from '../../workers/steady-heap';
import { ENTITY_QUEUE } from '../../workflows/names';
import { loadBackfills } from '../backfills';
import { findContext, loadModel, type Context } from '../context';
import { CliFailure } from '../failure';
import { metricsPlace, type MetricsPlace } from '../metrics-place';
import type { Output } from '../output';
import { readParkedMax } from '../parked-max';
import { loadReactions } from '../reactions';

const ROLES = {
  entity: startEntity,
  consumers: startConsumers,
  reactions: startReactions,
  replay: startReplay,
  backfill: startBackfill,
} as const;
type RoleName = keyof typeof ROLES;
const LOGINS = {
  entity: 'commit',
  consumers: 'project',
  reactions: 'react',
  replay: 'replay',
  backfill: 'commit',
} as const satisfies Record<RoleName, Role>;

/** What a worker tells the process that started it, once it works. */
export interface WorkerReady {
  /** Where its figures are. */
  readonly metrics: string;
}

/** Runs one role until SIGINT or SIGTERM, then drains. Tells a parent process by message when it is ready. */
export async function worker(output: Output, [role = '']: readonly string[]): Promise<void> {
  if (!Object.hasOwn(ROLES, role)) {
    throw new CliFailure('usage', `there is no worker '${role}'`, `Roles: ${Object.keys(ROLES).join(', ')}`, 2);
  }
  const place = metricsPlace(process.env);
  const parkedMax = readParkedMax(process.env);
  keepHeapSteady();
  // We stop on signals ourselves: long activities must be told first.
  Runtime.install({
    shutdownSignals: [],
    telemetryOptions: { logging: { filter: makeTelemetryFilterString({ core: 'ERROR', other: 'ERROR' }) } },
  });
  const context = findContext();
  const connection = await NativeConnection.connect(context.temporal.connection as NativeConnectionOptions);
  const temporal = await connectTemporal(context.temporal.connection);
  const client = new Client({ connection: temporal, namespace: context.temporal.namespace });
  let metrics: Metrics | undefined;
  // What is refused at its start ends as well, not only what has worked: whoever started it would wait for it for ever.
  try {
    await checkSchema(context);
    await checkBinding(context, client, LOGINS[role as RoleName]);
    metrics = await tellFigures(context, place);
    const running = await ROLES[role as RoleName]({ context, connection, client, metrics, parkedMax });
    const stopped = stopOnSignal(running);
    process.send?.({ metrics: metrics.address } satisfies WorkerReady);
    output.note(`worker ${role} is up, its figures at ${metrics.address}`);
    await Promise.race([running.finished, stopped]);
  } finally {
    await metrics?.close();
    await temporal.close();
    await connection.close();
    if (process.connected) process.disconnect();
  }
}

async function tellFigures(context: Context, place: MetricsPlace): Promise<Metrics> {
  try {
    return await serveMetrics({ databaseUrl: context.urlOf('read'), ...place });
  } catch (cause) {
    throw new CliFailure(
      'no_metrics',
      `the figures cannot be told at ${place.host}:${place.port}: ${(cause as Error).message}`,
      'Set REPRISE_METRICS_HOST and REPRISE_METRICS_PORT to an address that is free; port 0 is any.',
    );
  }
}

interface RoleParts {
  readonly context: Context;
  readonly connection: NativeConnection;
  readonly client: Client;
  readonly metrics: Metrics;
  readonly parkedMax: number | undefined;
}

async function startEntity({ context, connection, metrics }: RoleParts): Promise<Running> {
  const model = loadModel(context.project);
  const { namespace } = context.temporal;
  const taskQueue = context.idPrefix + ENTITY_QUEUE;
  const databaseUrl = context.urlOf('commit');
  return runEntityWorker({ model, connection, namespace, databaseUrl, taskQueue, watch: metrics.ofCommits() });
}

async function startConsumers({ context, connection, client, metrics, parkedMax }: RoleParts): Promise<Running> {
  const model = loadModel(context.project);
  const { idPrefix } = context;
  const { namespace } = context.temporal;
  const databaseUrl = context.urlOf('project');
  const relayUrl = context.urlOf('relay');
  const watch = metrics.ofConsumers();
  return runConsumersWorker({
    ...{ model, connection, client, namespace, databaseUrl, relayUrl, idPrefix, parkedMax, watch },
  });
}

async function startReactions({ context, connection, client, metrics, parkedMax }: RoleParts): Promise<Running> {
  const model = loadModel(context.project);
  const { reactions, ports, processesPath } = loadReactions(context.project);
  const { idPrefix, temporal } = context;
  const databaseUrl = context.urlOf('react');
  const commands = await createClient({ model, databaseUrl, temporal, idPrefix });
  const starting = runReactionsWorker({
    ...{ model, reactions, ports, connection, client, namespace: temporal.namespace, databaseUrl, idPrefix },
    ...(processesPath === undefined ? {} : { processesPath }),
    send: makeCommandSender(commands),
    parkedMax,
    watch: metrics.ofConsumers(),
  });
  void starting
    .then(({ finished }) => finished)
    .catch(() => undefined)
    .then(() => commands.close());
  return starting;
}

const PRIORITY = constants.priority.PRIORITY_BELOW_NORMAL;

async function startReplay({ context, connection }: RoleParts): Promise<Running> {
  const model = loadModel(context.project);
  const { idPrefix, temporal } = context;
  const { namespace } = temporal;
  const databaseUrl = context.urlOf('replay');
  const readUrl = context.urlOf('read');
  const running = await runReplayWorker({ model, connection, namespace, databaseUrl, readUrl, idPrefix });
  // Not before: a worker bundles its workflows when it is made.
  wallOff([databaseUrl, readUrl, temporal.connection.address ?? ''].map(placeOf), (what) =>
    process.stderr.write(`refused ${what}: a replay reaches PostgreSQL and Temporal, and nothing else\n`),
  );
  // Beside live work it is the one that waits.
  setPriority(PRIORITY);
  return running;
}

async function startBackfill({ context, connection, metrics }: RoleParts): Promise<Running> {
  const model = loadModel(context.project);
  const backfills = loadBackfills(context.project);
  const { idPrefix } = context;
  const { namespace } = context.temporal;
  const databaseUrl = context.urlOf('commit');
  return runBackfillWorker({
    model,
    backfills,
    connection,
    namespace,
    databaseUrl,
    idPrefix,
    watch: metrics.ofCommits(),
  });
}

/** Code and tables of different versions would fail in the middle of a commit, or worse, not. */
async function checkSchema(context: Context): Promise<void> {
  const db = openPool({ url: context.urlOf('read'), max: 1, applicationName: 'reprise-worker' });
  try {
    const pending = await pendingMigrations(db);
    if (pending.length === 0) return;
    throw new CliFailure(
      'not_migrated',
      `the database is older than this code: it lacks ${pending.join(', ')}`,
      "Run 'reprise migrate'.",
    );
  } finally {
    await db.end();
  }
}

/** Of the database this role writes to: each login may be configured to lead elsewhere. */
async function checkBinding(context: Context, client: Client, login: Role): Promise<void> {
  const db = openPool({ url: context.urlOf(login), max: 1, applicationName: 'reprise-worker' });
  try {
    const { databaseId } = await readIdentity(db);
    await bindDatabase(client, { idPrefix: context.idPrefix, databaseId });
  } finally {
    await db.end();
  }
}

/** Resolves when a signal, or the parent's end, has stopped the workers. A second signal ends the process at once. */
function stopOnSignal(running: Running): Promise<void> {
  return new Promise((resolve, reject) => {
    let stopping = false;
    const stop = () => {
      if (stopping) process.exit(1);
      stopping = true;
      running.stop().then(resolve, reject);
    };
    process.once('disconnect', () => {
      if (!stopping) stop();
    });
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, stop);
  });
}
