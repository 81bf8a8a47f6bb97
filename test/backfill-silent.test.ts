import { join } from 'node:path';
import { z } from 'zod';
import { addSink } from '../db/sinks';
import { backfill, ndjson } from '../model/backfill';
import { createOrder, payOrder } from '../shop/order/contract';
import { order } from '../shop/order/entity';
import { model } from '../shop/model';
import { ports } from '../shop/ports';
import { reactions } from '../shop/reactions';
import { bringIn, makeFolder } from './support/backfilling';
import { outsideDir, startOutside } from './support/outside';
import { TestSystem } from './support/system';
import { until } from './support/until';

const cards = backfill('cards', {
  source: ndjson(),
  row: z.object({ n: z.int() }),
  id: ({ n }) => String(n),
  map: ({ n }) => [
    { entity: order, id: `card-${n}`, occurredAt: '2001-01-01T00:00:00Z', command: created(`CARD-${n}`) },
    { entity: order, id: `card-${n}`, occurredAt: '2001-01-02T00:00:00Z', command: payOrder({ amountMinor: 1_500 }) },
  ],
});
const created = (customerId: string) =>
  createOrder({
    ...{ customerId, currency: 'EUR', terms: 'card', freightMinor: 500 },
    lines: [{ productId: '11', unitPriceMinor: 1_000, quantity: 1, discountPercent: 0 }],
  });

test('invariant 13: a backfill asks nobody outside and queues nothing; the same events said live do', async () => {
  const folder = makeFolder();
  const outside = outsideDir();
  const provider = await startOutside('payment-provider', outside.dir);
  const mail = await startOutside('mail-sink', outside.dir);
  const system = await TestSystem.open(model);
  await addSink(system.db, { sink: 'bus', kind: 'nats', options: {} });
  const env = { PAYMENT_PROVIDER_URL: provider.address, SMTP_URL: mail.address, UNPAID_ORDER_MS: '1000' };
  await Promise.all([system.startEntityWorker(), system.startConsumers(), system.startBackfillWorker([cards])]);
  await system.startReactions(reactions as never, {
    processesPath: join(__dirname, '../shop/processes.ts'),
    ports: ports({ ...env, LATE_PAYMENT_MS: '60000' }),
  });
  const file = folder.write('cards.ndjson', Array.from({ length: 300 }, (_, n) => `{"n":${n}}\n`).join(''));
  expect(await bringIn(system, { name: 'cards', file })).toMatchObject({ accepted: 600, events: 600, rejected: 0 });

  const lagOf = async () => {
    const { rows } = await system.db.query<{ lag: number }>(
      `select coalesce(sum(lag_events), 0)::bigint as lag from reprise.lag`,
    );
    return rows[0]?.lag ?? -1;
  };
  await until(async () => (await lagOf()) === 0, { what: 'every consumer has passed all of it' });
  const { rows } = await system.db.query<{ started: number; queued: number; shown: number }>(
    `select (select count(*) from reprise.reactions) as started, (select count(*) from reprise.outbox) as queued,
            (select count(*) from read.order_summary where status = 'paid') as shown`,
  );
  expect(rows).toEqual([{ started: 0, queued: 0, shown: 300 }]);
  expect([provider.journal(), mail.journal()]).toEqual([[], []]);

  const client = await system.client();
  await client.order('live').send(created('CARD-live'));
  await until(() => provider.journal().length > 0 && mail.journal().length > 0, {
    what: 'the live one is captured and mailed',
  });
  const { rows: queued } = await system.db.query('select distinct key from reprise.outbox');
  expect(queued).toContainEqual({ key: 'live' });
  await system.close();
  await Promise.all([provider, mail].map(({ child }) => child.kill()));
  outside.remove();
  folder.remove();
}, 240_000);
