import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { GiveUp, RetryLater } from '../model/reaction';
import { outsideDir, startOutside, type Outside } from '../test/support/outside';
import { retryAfterMs } from './outside/http-payments';
import { messageIdOf } from './outside/smtp-mail';
import { ports } from './ports';

const folder = outsideDir();
const running: Outside[] = [];
const closing: (() => void)[] = [];

afterAll(async () => {
  await Promise.all(running.map(({ child }) => child.kill()));
  for (const close of closing) close();
  folder.remove();
});

const order = { paymentId: 'pay-1', customerId: 'CARD-1', amountMinor: 1_000, currency: 'EUR' };
const calling = () => ({ signal: new AbortController().signal });
const letter = { to: 'VINET@example.com', subject: 'Your receipt', text: 'Paid.' };

/** The ports, with a provider of their own that goes wrong as asked. */
async function paymentsOf(fault: Readonly<Record<string, string>> = {}) {
  const provider = await startOutside('payment-provider', folder.dir, fault);
  running.push(provider);
  const { payments } = ports({ PAYMENT_PROVIDER_URL: provider.address });
  const capture = (idempotencyKey: string, customerId = order.customerId) =>
    payments.capture({ ...order, idempotencyKey, customerId }, calling());
  const outcomes = (key: string) => provider.journal().flatMap((entry) => (entry.key === key ? [entry.outcome] : []));
  return { provider, payments, capture, outcomes };
}

test('money is captured, declined and given back', async () => {
  const { payments, capture } = await paymentsOf();
  expect(await capture('a')).toEqual({ outcome: 'captured' });
  expect(await capture('b', 'DECLINED-1')).toEqual({ outcome: 'declined', reason: 'insufficient_funds' });
  const back = { idempotencyKey: 'c', paymentId: 'pay-1', amountMinor: 1_000, currency: 'EUR' };
  expect(await payments.refund(back, calling())).toEqual({ outcome: 'refunded' });
  const more = { ...back, idempotencyKey: 'd' };
  expect(await payments.refund(more, calling())).toEqual({ outcome: 'declined', reason: 'refund_too_large' });
  await expect(payments.capture({ ...order, idempotencyKey: 'a', amountMinor: 2 }, calling())).rejects.toThrow(GiveUp);
});

test.each([
  ['PROVIDER_500', 'failed', { name: 'Error', message: 'the payment provider answered 500' }],
  ['PROVIDER_429', 'busy', { name: 'RetryLater', afterMs: 1_000 }],
  [
    'PROVIDER_GARBAGE',
    'executed',
    { name: 'Error', message: expect.stringContaining('a body that is none') as string },
  ],
  [
    'PROVIDER_TIMEOUT_AFTER',
    'executed',
    { name: 'Error', message: expect.stringContaining('not within 5000 ms') as string },
  ],
])('after %s a second try under the same key executes once', async (fault, outcome, error) => {
  const { capture, outcomes } = await paymentsOf({ [fault]: '1' });
  await expect(capture(fault)).rejects.toMatchObject(error);
  expect(await capture(fault)).toEqual({ outcome: 'captured' });
  expect(outcomes(fault)).toEqual([outcome, outcome === 'executed' ? 'repeat' : 'executed']);
});

test('a provider that is gone is one to try again, and a call that is stopped says by whom', async () => {
  const { provider, payments, capture } = await paymentsOf();
  const stop = new AbortController();
  const stopped = payments.capture(
    { ...order, customerId: 'NEVER-1', idempotencyKey: 'stopped' },
    { signal: stop.signal },
  );
  stop.abort(new Error('the worker stops'));
  await expect(stopped).rejects.toThrow('the worker stops');
  await provider.child.kill();
  await expect(capture('gone')).rejects.toMatchObject({
    name: 'Error',
    message: 'no answer from the payment provider: the connection broke',
  });
});

describe('what no provider of ours would answer', () => {
  const answering = async (answer: RequestListener) => {
    const server = createServer(answer).listen(0, '127.0.0.1');
    closing.push(() => void server.close().closeAllConnections());
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as AddressInfo;
    const { payments } = ports({ PAYMENT_PROVIDER_URL: `http://127.0.0.1:${port}` });
    return payments.capture({ ...order, idempotencyKey: 'k' }, calling());
  };
  const with503 =
    (retryAfter?: string): RequestListener =>
    (_request, response) => {
      response.writeHead(503, retryAfter ? { 'retry-after': retryAfter } : {}).end();
    };

  test('a time to come back is kept to, any other failure is tried again', async () => {
    await expect(answering(with503('7'))).rejects.toMatchObject({ name: 'RetryLater', afterMs: 7_000 });
    await expect(answering(with503(new Date(Date.now() + 60_000).toUTCString()))).rejects.toThrow(RetryLater);
    await expect(answering(with503('soon'))).rejects.toMatchObject({ name: 'Error' });
    await expect(answering(with503())).rejects.toMatchObject({ name: 'Error' });
    await expect(answering((_request, response) => void response.writeHead(401).end())).rejects.toMatchObject({
      name: 'Error',
      message: 'the payment provider answered 401',
    });
    await expect(answering((request) => void request.socket.destroy())).rejects.toThrow('the connection broke');
    await expect(
      answering((_request, response) => void response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end()),
    ).rejects.toThrow('the connection broke');
  });
  test('a request it cannot take will not be better for being sent again', async () => {
    await expect(answering((_request, response) => void response.writeHead(400).end('?'))).rejects.toThrow(GiveUp);
  });
});

test.each([
  [null, null],
  ['3', 3_000],
  ['0', 0],
  ['Thu, 01 Jan 2026 00:00:10 GMT', 10_000],
  ['Wed, 31 Dec 2025 00:00:00 GMT', 0],
  ['999999999999', 3_600_000],
  ['soon', null],
])('Retry-After %j is %j ms', (value, ms) => {
  expect(retryAfterMs(value, Date.parse('2026-01-01T00:00:00Z'))).toBe(ms);
});

test('a receipt sent twice is one mail', async () => {
  const sink = await startOutside('mail-sink', folder.dir);
  running.push(sink);
  const { mail } = ports({ SMTP_URL: sink.address });
  await mail.send({ ...letter, idempotencyKey: 'reaction/send-receipt/order/1/2' }, calling());
  await mail.send({ ...letter, idempotencyKey: 'reaction/send-receipt/order/1/2' }, calling());
  const key = messageIdOf('reaction/send-receipt/order/1/2');
  expect(sink.journal()).toMatchObject([
    { key, outcome: 'executed', to: [letter.to], subject: letter.subject },
    { key, outcome: 'repeat' },
  ]);
  await sink.child.kill();
  await expect(mail.send({ ...letter, idempotencyKey: 'later' }, calling())).rejects.toMatchObject({
    name: 'Error',
    message: 'the mail server did not take it',
  });
});

test('what is missing or wrong is named: an address when it is needed, a number at once', async () => {
  const none = ports({});
  expect(none.settings).toEqual({ unpaidOrderMs: 900_000, latePaymentMs: 2_592_000_000 });
  expect(ports({ UNPAID_ORDER_MS: '2000', LATE_PAYMENT_MS: '9' }).settings).toEqual({
    unpaidOrderMs: 2_000,
    latePaymentMs: 9,
  });
  await expect(none.payments.capture({ ...order, idempotencyKey: 'k' }, calling())).rejects.toThrow(
    'PAYMENT_PROVIDER_URL is not set',
  );
  await expect(none.mail.send({ ...letter, idempotencyKey: 'k' }, calling())).rejects.toThrow('SMTP_URL is not set');
  const { mail } = ports({ SMTP_URL: 'http://u:sesame@127.0.0.1' });
  await expect(mail.send({ ...letter, idempotencyKey: 'k' }, calling())).rejects.toThrow(
    /^SMTP_URL is not a URL.*smtps:$/,
  );
  expect(() => ports({ UNPAID_ORDER_MS: 'soon' })).toThrow("UNPAID_ORDER_MS is 'soon', not a number from 0");
});
