import { Client, Connection } from '@temporalio/client';
import { DefaultLogger, NativeConnection, Runtime } from '@temporalio/worker';
import { roleUrl } from '../../db/urls';
import { reaction } from '../../model/reaction';
import { model } from '../../shop/model';
import { orderCreated } from '../../shop/order/contract';
import { runConsumersWorker } from '../../workers/consumers';
import { runEntityWorker } from '../../workers/entity';
import { runReactionsWorker } from '../../workers/reactions';
import { keepHeapSteady } from '../../workers/steady-heap';

// Our entity worker or our consumers (argument), each in a process of its own, as in production.
async function main(role: string | undefined): Promise<void> {
  keepHeapSteady();
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  const address = process.env['BENCH_TEMPORAL'] ?? '';
  const owner = { url: process.env['BENCH_DATABASE_URL'] ?? '', owned: true };
  const connection = await NativeConnection.connect({ address });
  const namespace = 'default';
  const noReaction = reaction('bench-nothing', {
    on: [orderCreated],
    idempotency: 'natural',
    handle: async () => undefined,
  });
  if (role === 'reactions') {
    const client = new Client({ connection: await Connection.connect({ address }) });
    const databaseUrl = roleUrl('react', {}, owner).url;
    const send = () => Promise.reject(new Error('it sends nothing'));
    await runReactionsWorker({
      model,
      reactions: [noReaction],
      ports: {},
      connection,
      client,
      namespace,
      databaseUrl,
      send,
    });
  } else if (role === 'entity') {
    await runEntityWorker({ model, connection, namespace, databaseUrl: roleUrl('commit', {}, owner).url });
  } else {
    const client = new Client({ connection: await Connection.connect({ address }) });
    await runConsumersWorker({ model, connection, client, namespace, databaseUrl: roleUrl('project', {}, owner).url });
  }
  process.send?.('ready');
  process.once('disconnect', () => process.exit(0));
}

void main(process.argv[2]);
