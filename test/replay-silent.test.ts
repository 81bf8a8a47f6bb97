import { join } from 'node:path';
import { findReplay, startReplay } from '../client/replay';
import { addSink } from '../db/sinks';
import { model } from '../shop/model';
import { createOrder } from '../shop/order/contract';
import { ports } from '../shop/ports';
import { reactions } from '../shop/reactions';
import { startChild } from './support/child';
import { INPUT } from './support/filling';
import { outsideDir, startOutside } from './support/outside';
import { TestSystem } from './support/system';
import { until } from './support/until';

const cardOrder = (n: number) =>
  createOrder({
    ...{ customerId: `CARD-${n}`, currency: 'EUR', terms: 'card', freightMinor: 500 },
    lines: [{ productId: '11', unitPriceMinor: 1_000, quantity: 1, discountPercent: 0 }],
  });

test('invariant 13: every read model is built again, and provider and mail sink hear of nothing; live orders are heard', async () => {
  const outside = outsideDir();
  const provider = await startOutside('payment-provider', outside.dir);
  const mail = await startOutside('mail-sink', outside.dir);
  const system = await TestSystem.open(model);
  await addSink(system.db, { sink: 'bus', kind: 'nats', options: {} });
  await Promise.all([system.startEntityWorker(), system.startConsumers()]);
  await system.startReactions(reactions as never, {
    processesPath: join(__dirname, '../shop/processes.ts'),
    ports: ports({
      ...{ PAYMENT_PROVIDER_URL: provider.address, SMTP_URL: mail.address },
      ...{ UNPAID_ORDER_MS: '60000', LATE_PAYMENT_MS: '60000' },
    }),
  });
  const client = await system.client();
  await Promise.all(Array.from({ length: 20 }, (_, n) => client.order(`live-${n}`).send(cardOrder(n))));
  await until(() => mail.journal().length >= 10, { what: 'live orders are captured and mailed', withinMs: 60_000 });
  const lag = async () => {
    const { rows } = await system.db.query<{ lag: number; open: number }>(
      `select (select coalesce(sum(lag_events), 0) from reprise.lag)::bigint as lag,
              (select count(*) from reprise.reactions where status = 'open' and reaction <> 'unpaid-order') as open`,
    );
    return (rows[0]?.lag ?? 1) + (rows[0]?.open ?? 1);
  };
  await until(async () => (await lag()) === 0, { what: 'all that was started live has ended', withinMs: 60_000 });
  const counts = async () => {
    const { rows } = await system.db.query<{ reactions: number; outbox: number }>(
      'select (select count(*) from reprise.reactions) as reactions, (select count(*) from reprise.outbox) as outbox',
    );
    return { ...rows[0], provider: provider.journal().length, mail: mail.journal().length };
  };
  const before = await counts();

  const worker = startChild('replay-worker.ts', {
    CHILD_DATABASE_URL: system.database.urlOf('replay'),
    CHILD_READ_URL: system.database.urlOf('read'),
    CHILD_TEMPORAL: system.address,
    CHILD_PREFIX: system.name,
  });
  const door = { temporal: system.temporal, idPrefix: system.name };
  for (const { name } of model.projections)
    await startReplay(door, { ...INPUT, projection: name, switchWhenVerified: true });
  for (const { name } of model.projections) {
    await until(async () => (await findReplay(door, name)) === null, { what: `${name} is switched`, withinMs: 90_000 });
  }
  const { rows } = await system.db.query(`select consumer, phase from reprise.replays order by consumer collate "C"`);
  expect(rows).toEqual(model.projections.map(({ name }) => ({ consumer: `projection/${name}`, phase: 'switched' })).sort((a, b) => (a.consumer < b.consumer ? -1 : 1))); // prettier-ignore
  expect(await counts()).toEqual(before);
  worker.process.send('refused?');
  await until(() => worker.messages.length > 1, { what: 'the worker says what it refused' });
  expect(worker.messages.at(-1)).toEqual({ refused: 0 });

  await client.order('live-again').send(cardOrder(99));
  await until(() => provider.journal().length > before.provider, { what: 'what is live goes on' });
  await worker.kill();
  await system.close();
  await Promise.all([provider, mail].map(({ child }) => child.kill()));
  outside.remove();
}, 300_000);
