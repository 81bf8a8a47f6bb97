import { Client, type Connection } from '@temporalio/client';
import { connectTemporal } from '../../client/connect';
import { checkBound } from '../../client/binding';
import { readIdentity } from '../../db/identity';
import { openPool } from '../../db/pool';
import type { Model } from '../../model/model';
import { missingSearchAttributes } from '../../client/search-attributes';
import { CONSUMERS_QUEUE, ENTITY_QUEUE, projectionQueue, REPLAY_QUEUE } from '../../workflows/names';
import type { Context } from '../context';
import { attemptCheck, type Check } from './check';

const SERVER_MIN = [1, 29] as const;
const TASK_QUEUE_TYPE = { workflow: 1, activity: 2 } as const;

/** Temporal: reachable, new enough, its namespace ours, and workers listening. */
export function temporalChecks(context: Context, model: Model): Promise<Check[]> {
  return attemptCheck('temporal', () => openAndCheck(context, model));
}

async function openAndCheck(context: Context, model: Model): Promise<Check[]> {
  const connection = await connectTemporal(context.temporal.connection);
  try {
    return [
      ...(await attemptCheck('temporal', () => checkServer(connection))),
      ...(await attemptCheck('namespace', () => checkNamespace(connection, context))),
      ...(await attemptCheck('search attributes', () => checkSearchAttributes(connection, context))),
      ...(await attemptCheck('binding', () => checkBinding(connection, context))),
      ...(await attemptCheck('workers', () => checkWorkers(connection, context, model))),
    ];
  } finally {
    await connection.close();
  }
}

async function checkServer(connection: Connection): Promise<Check> {
  const { serverVersion } = await connection.workflowService.getSystemInfo({});
  const found = serverVersion ?? '?';
  const [major = 0, minor = 0] = found.split('.').map(Number);
  const [minMajor, minMinor] = SERVER_MIN;
  return major > minMajor || (major === minMajor && minor >= minMinor)
    ? { check: 'temporal', status: 'pass', found }
    : { check: 'temporal', status: 'fail', found, next: 'Reprise needs Temporal Server 1.29 or newer.' };
}

async function checkNamespace(connection: Connection, context: Context): Promise<Check> {
  const { namespace } = context.temporal;
  const { config } = await connection.workflowService.describeNamespace({ namespace });
  const days = Number(config?.workflowExecutionRetentionTtl?.seconds ?? 0) / 86_400;
  return { check: 'namespace', status: 'pass', found: `${namespace}, closed runs kept ${days} days` };
}

async function checkSearchAttributes(connection: Connection, context: Context): Promise<Check> {
  const missing = await missingSearchAttributes(connection, context.temporal.namespace);
  return missing.length === 0
    ? { check: 'search attributes', status: 'pass', found: 'registered' }
    : {
        check: 'search attributes',
        status: 'fail',
        found: `${missing.join(', ')} missing`,
        next: missing
          .map(
            (name) =>
              `temporal operator search-attribute create --name ${name} --type Keyword --namespace ${context.temporal.namespace}`,
          )
          .join('; '),
      };
}

async function checkBinding(connection: Connection, context: Context): Promise<Check> {
  const db = openPool({ url: context.urlOf('read'), max: 1, applicationName: 'reprise-doctor' });
  try {
    const { databaseId } = await readIdentity(db);
    const client = new Client({ connection, namespace: context.temporal.namespace });
    // Only looked at: whoever asks doctor about a mistyped namespace must not have bound it.
    return (await checkBound(client, { idPrefix: context.idPrefix, databaseId }))
      ? { check: 'binding', status: 'pass', found: `database ${databaseId}` }
      : { check: 'binding', status: 'warn', found: 'not bound yet', next: 'The first worker or client binds it.' };
  } finally {
    await db.end();
  }
}

async function checkWorkers(connection: Connection, context: Context, model: Model): Promise<Check[]> {
  const queues: [string, number, string][] = [
    [ENTITY_QUEUE, TASK_QUEUE_TYPE.workflow, 'entity'],
    [CONSUMERS_QUEUE, TASK_QUEUE_TYPE.workflow, 'consumers'],
    [REPLAY_QUEUE, TASK_QUEUE_TYPE.workflow, 'replay'],
    ...model.projections.map(({ name, version }): [string, number, string] => [
      projectionQueue(name, version),
      TASK_QUEUE_TYPE.activity,
      'consumers',
    ]),
  ];
  return Promise.all(
    queues.map(async ([queue, taskQueueType, role]): Promise<Check> => {
      const name = context.idPrefix + queue;
      const { pollers } = await connection.workflowService.describeTaskQueue({
        namespace: context.temporal.namespace,
        taskQueue: { name },
        taskQueueType,
      });
      const count = pollers?.length ?? 0;
      const check = `workers on ${name}`;
      return count > 0
        ? { check, status: 'pass', found: `${count} polling` }
        : { check, status: 'warn', found: 'none', next: `Start one: 'reprise worker ${role}'.` };
    }),
  );
}
