import { join } from 'node:path';
import { readReactionStatus } from '../db/reactions';
import { createOrder, payOrder } from '../shop/order/contract';
import { model } from '../shop/model';
import { ports } from '../shop/ports';
import { reactions } from '../shop/reactions';
import { messageIdOf } from '../shop/outside/smtp-mail';
import type { RepriseClient } from '../client/client';
import { outsideDir, startOutside, type Outside } from './support/outside';
import { TestSystem } from './support/system';
import { until } from './support/until';

const DEADLINE_MS = 1_500;
const folder = outsideDir();
let provider: Outside;
let sink: Outside;
let system: TestSystem<typeof model.entities>;
let client: RepriseClient<typeof model.entities>;

beforeAll(async () => {
  const env = { PROVIDER_SLOW_MS: '800', PROVIDER_LATE_MS: String(DEADLINE_MS + 1_000) };
  provider = await startOutside('payment-provider', folder.dir, env);
  sink = await startOutside('mail-sink', folder.dir);
  system = await TestSystem.open(model);
  await Promise.all([system.startEntityWorker(), system.startConsumers()]);
  const { address } = provider;
  await system.startReactions(reactions as never, {
    processesPath: join(__dirname, '../shop/processes.ts'),
    ports: ports({
      PAYMENT_PROVIDER_URL: address,
      SMTP_URL: sink.address,
      UNPAID_ORDER_MS: String(DEADLINE_MS),
      LATE_PAYMENT_MS: '60000',
    }),
  });
  client = await system.client();
});
afterAll(async () => {
  await system.close();
  await Promise.all([provider, sink].map(({ child }) => child.kill()));
  folder.remove();
});

const wish = {
  currency: 'EUR',
  lines: [{ productId: '11', unitPriceMinor: 1_999, quantity: 2, discountPercent: 0 }],
  freightMinor: 500,
};
const order = (orderId: string, customerId: string, terms: 'card' | 'account' = 'card') =>
  client.order(orderId).send(createOrder({ ...wish, customerId, terms }), { commandId: `create-${orderId}` });

/** The entity's events so far, by type. */
async function typesOf(entityType: 'order' | 'payment', entityId: string): Promise<string[]> {
  const { rows } = await system.db.query<{ type: string }>(
    'select type from reprise.events where entity_type = $1::text and entity_id = $2::text order by version',
    [entityType, entityId],
  );
  return rows.map(({ type }) => type);
}
const untilTypes = (entityType: 'order' | 'payment', entityId: string, types: readonly string[]) =>
  until(async () => (await typesOf(entityType, entityId)).join() === types.join(), {
    what: `${entityType} ${entityId} is ${types.join()}`,
  });
const executed = (paymentId: string) =>
  provider
    .journal()
    .filter((entry) => (entry as unknown as { paymentId: string }).paymentId === paymentId)
    .filter(({ outcome }) => outcome === 'executed')
    .map(({ call, key }) => [call, key]);
const balanceOf = async (userId: string): Promise<string[]> => {
  const { rows } = await system.db.query<{ balance_minor: unknown }>(
    'select balance_minor from read.user_balance where user_id = $1::text',
    [userId],
  );
  return rows.map(({ balance_minor }) => String(balance_minor));
};
const processOf = (orderId: string) =>
  system.temporal.workflow.getHandle(`${system.name}reaction/unpaid-order/order/${orderId}/1`).result();

test('a card order is captured once, paid by it, and its receipt is mailed', async () => {
  await order('good', 'CARD-1');
  await untilTypes('order', 'good', ['order.created', 'order.paid']);
  await untilTypes('payment', 'pay-good', ['payment.captured']);
  expect(executed('pay-good')).toEqual([['capture', 'reaction/capture-payment/order/good/1']]);
  expect(await processOf('good')).toBe('paid');
  const key = messageIdOf('reaction/send-receipt/order/good/2');
  await until(() => sink.journal().length > 0, { what: 'the receipt' });
  expect(sink.journal()).toMatchObject([
    { key, outcome: 'executed', to: ['CARD-1@example.com'], subject: 'Your receipt for order good' },
  ]);
  await until(async () => (await balanceOf('CARD-1')).join() === '4498', { what: 'the balance' });
});

test('a declined card leaves a failed payment, and its order is cancelled at the deadline', async () => {
  await order('declined', 'DECLINED-1');
  await untilTypes('payment', 'pay-declined', ['payment.failed']);
  await untilTypes('order', 'declined', ['order.created', 'order.cancelled']);
  expect(executed('pay-declined')).toEqual([]);
});

test('money that comes after the deadline is given back', async () => {
  await order('late', 'LATE-1');
  await untilTypes('order', 'late', ['order.created', 'order.cancelled', 'order.payment-late']);
  await untilTypes('payment', 'pay-late', ['payment.captured', 'payment.refunded']);
  expect(await processOf('late')).toBe('refunded');
  expect(executed('pay-late')).toEqual([
    ['capture', 'reaction/capture-payment/order/late/1'],
    ['refund', 'reaction/unpaid-order/order/late/1/refund/1'],
  ]);
  await until(async () => (await balanceOf('LATE-1')).join() === '0', { what: 'the balance' });
});

test('money that comes for an order paid otherwise meanwhile is given back', async () => {
  await order('twice', 'SLOW-1');
  await client.order('twice').send(payOrder({ amountMinor: 4_498 }));
  await untilTypes('payment', 'pay-twice', ['payment.captured', 'payment.refunded']);
  expect(await typesOf('order', 'twice')).toEqual(['order.created', 'order.paid']);
  expect(executed('pay-twice').map(([call]) => call)).toEqual(['capture', 'refund']);
});

test('an order whose provider never answers is cancelled all the same', async () => {
  await order('never', 'NEVER-1');
  await untilTypes('order', 'never', ['order.created', 'order.cancelled']);
  expect(await typesOf('payment', 'pay-never')).toEqual([]);
});

test('an order on account reaches no provider, deadline or receipt', async () => {
  await order('account', 'VINET', 'account');
  await client.order('account').send(payOrder({ amountMinor: 4_498 }));
  await untilTypes('order', 'account', ['order.created', 'order.paid']);
  const passed = async () => (await readReactionStatus(system.db)).every(({ lag_events }) => lag_events === 0);
  await until(passed, { what: 'every reaction has passed it' });
  const { rows } = await system.db.query('select 1 from reprise.reactions where entity_id = $1::text', ['account']);
  expect(rows).toEqual([]);
});
