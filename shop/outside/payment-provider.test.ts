import { appendFileSync, readFileSync } from 'node:fs';
import { startOutside, outsideDir, type Outside } from '../../test/support/outside';
import { until } from '../../test/support/until';

let folder: ReturnType<typeof outsideDir>;
let running: Outside[] = [];

beforeEach(() => {
  folder = outsideDir();
});
afterEach(async () => {
  await Promise.all(running.map(({ child }) => child.kill()));
  running = [];
  folder.remove();
});

async function start(env: Readonly<Record<string, string>> = {}): Promise<Outside> {
  const provider = await startOutside('payment-provider', folder.dir, env);
  running.push(provider);
  return provider;
}

const money = { paymentId: 'pay-1', amountMinor: 1_000, currency: 'EUR' };
const capture = { ...money, customerId: 'CARD-1' };

async function post({ address }: Outside, path: string, body: unknown, key?: string, signal?: AbortSignal) {
  const response = await fetch(`${address}${path}`, {
    method: 'POST',
    headers: key === undefined ? {} : { 'idempotency-key': key },
    body: typeof body === 'string' ? body : JSON.stringify(body),
    ...(signal ? { signal } : {}),
  });
  return { status: response.status, text: await response.text(), headers: response.headers };
}
const outcomes = ({ journal }: Outside) => journal().map(({ key, outcome }) => [key, outcome]);

test('a key is executed once: a repeat gets the first answer, another body is refused', async () => {
  const provider = await start();
  const first = await post(provider, '/captures', capture, 'k1');
  const reordered = { customerId: 'CARD-1', currency: 'EUR', amountMinor: 1_000, paymentId: 'pay-1' };
  const repeat = await post(provider, '/captures', reordered, 'k1');
  const other = await post(provider, '/captures', { ...capture, amountMinor: 2 }, 'k1');
  expect(first).toMatchObject({ status: 200, text: expect.stringContaining('"captured"') as string });
  expect([repeat.status, repeat.text]).toEqual([first.status, first.text]);
  expect(other).toMatchObject({ status: 422, text: expect.stringContaining('idempotency_key_reused') as string });
  expect(await post(provider, '/refunds', money, 'k1')).toMatchObject({ status: 422 });
  expect(outcomes(provider)).toEqual([
    ['k1', 'executed'],
    ['k1', 'repeat'],
    ['k1', 'refused'],
    ['k1', 'refused'],
  ]);
  const hashes = provider.journal().map(({ bodyHash }) => bodyHash);
  expect(hashes[0]).toMatch(/^[0-9a-f]{64}$/);
  expect([hashes[1] === hashes[0], hashes[2] === hashes[0]]).toEqual([true, false]);
});

test('many at once under one key are one execution', async () => {
  const provider = await start();
  const answers = await Promise.all(Array.from({ length: 20 }, () => post(provider, '/captures', capture, 'k1')));
  expect(new Set(answers.map(({ status, text }) => `${status} ${text}`)).size).toBe(1);
  expect(provider.journal().filter(({ outcome }) => outcome === 'executed')).toHaveLength(1);
  expect(provider.journal()).toHaveLength(20);
});

test('no more is refunded than was captured', async () => {
  const provider = await start();
  await post(provider, '/captures', capture, 'k1');
  expect(await post(provider, '/refunds', { ...money, amountMinor: 600 }, 'r1')).toMatchObject({ status: 200 });
  expect(await post(provider, '/refunds', { ...money, amountMinor: 600 }, 'r2')).toMatchObject({ status: 402 });
  expect(await post(provider, '/refunds', { ...money, amountMinor: 600 }, 'r2')).toMatchObject({ status: 402 });
  expect(outcomes(provider).slice(1)).toEqual([
    ['r1', 'executed'],
    ['r2', 'declined'],
    ['r2', 'repeat'],
  ]);
});

test('the customer says how it goes: declined, slow, never, late', async () => {
  const provider = await start({ PROVIDER_SLOW_MS: '200', PROVIDER_LATE_MS: '700' });
  const of = (customerId: string, key: string, signal?: AbortSignal) =>
    post(provider, '/captures', { ...capture, customerId }, key, signal);
  expect(await of('DECLINED-1', 'd')).toMatchObject({
    status: 402,
    text: expect.stringContaining('insufficient_funds') as string,
  });
  const sentAt = Date.now();
  const [, late] = await Promise.all([of('SLOW-1', 's'), of('LATE-1', 'l', AbortSignal.timeout(300)).catch(String)]);
  expect(late).toMatch(/TimeoutError/);
  // A repeat is answered when the first was to be, not sooner.
  expect(await of('LATE-1', 'l')).toMatchObject({ status: 200 });
  expect(Date.now() - sentAt).toBeGreaterThanOrEqual(690);
  await expect(of('NEVER-1', 'n', AbortSignal.timeout(300))).rejects.toThrow(/timeout/);
  expect(Object.fromEntries(outcomes(provider).reverse())).toEqual({
    d: 'declined',
    s: 'executed',
    l: 'executed',
    n: 'unanswered',
  });
});

test.each([
  ['PROVIDER_500', 500, 'failed'],
  ['PROVIDER_429', 429, 'busy'],
])('%s: the first try fails with nothing done, the next goes through', async (fault, status, outcome) => {
  const provider = await start({ [fault]: '1' });
  const first = await post(provider, '/captures', capture, 'k1');
  expect([first.status, first.headers.get('retry-after')]).toEqual([status, status === 429 ? '1' : null]);
  expect(await post(provider, '/captures', capture, 'k1')).toMatchObject({ status: 200 });
  expect(outcomes(provider)).toEqual([
    ['k1', outcome],
    ['k1', 'executed'],
  ]);
});

test('a first try may be executed and then answered with garbage, or never', async () => {
  const garbling = await start({ PROVIDER_GARBAGE: '1' });
  const garbage = await post(garbling, '/captures', capture, 'k1');
  expect(garbage.status).toBe(200);
  expect(() => JSON.parse(garbage.text) as unknown).toThrow();
  expect(await post(garbling, '/captures', capture, 'k1')).toMatchObject({ status: 200 });
  await garbling.child.kill();
  const silent = await start({ PROVIDER_TIMEOUT_AFTER: '1' });
  await expect(post(silent, '/captures', capture, 'k2', AbortSignal.timeout(300))).rejects.toThrow(/timeout/);
  expect(await post(silent, '/captures', capture, 'k2')).toMatchObject({ status: 200 });
  expect(outcomes(silent)).toEqual([
    ['k1', 'executed'],
    ['k1', 'repeat'],
    ['k2', 'executed'],
    ['k2', 'repeat'],
  ]);
});

test('a share of the keys goes wrong, the same ones each time', async () => {
  const run = async () => {
    const provider = await start({ PROVIDER_500: '0.3' });
    const keys = Array.from({ length: 60 }, (_, nth) => `key-${nth}`);
    const answers = await Promise.all(keys.map((key) => post(provider, '/captures', capture, key)));
    await provider.child.kill();
    return answers.map(({ status }) => status);
  };
  const first = await run();
  const wrong = first.filter((status) => status === 500).length;
  expect([wrong > 5, wrong < 35]).toEqual([true, true]);
  folder.remove();
  expect(await run()).toEqual(first);
});

test('keys are recognised after it was killed, and a torn last line is no call', async () => {
  const first = await start();
  const answer = await post(first, '/captures', capture, 'k1');
  await first.child.kill();
  appendFileSync(first.file, '{"at":"2026-01-01T00:00:00.000Z","call":"capture","key":"to');
  const second = await start();
  const repeat = await post(second, '/captures', capture, 'k1');
  expect([repeat.status, repeat.text]).toEqual([answer.status, answer.text]);
  expect(await post(second, '/refunds', money, 'r1')).toMatchObject({ status: 200 });
  expect(outcomes(second)).toEqual([
    ['k1', 'executed'],
    ['k1', 'repeat'],
    ['r1', 'executed'],
  ]);
  expect(readFileSync(second.file, 'utf8')).not.toMatch(/torn|"key":"to"/);
});

test('what is asked wrongly is said, and not taken', async () => {
  const provider = await start();
  const status = async (...call: [path: string, body: unknown, key?: string]) => (await post(provider, ...call)).status;
  expect(await status('/captures', capture)).toBe(400);
  expect(await status('/captures', '{"paymentId":', 'k')).toBe(400);
  expect(await status('/captures', { ...capture, amountMinor: 1.5 }, 'k')).toBe(400);
  expect(await status('/captures', { ...capture, amountMinor: 0 }, 'k')).toBe(400);
  expect(await status('/captures', { ...capture, tip: 1 }, 'k')).toBe(400);
  expect(await status('/captures', 'x'.repeat(70_000), 'k')).toBe(413);
  expect(await status('/elsewhere', capture, 'k')).toBe(404);
  expect((await fetch(`${provider.address}/captures`)).status).toBe(405);
  expect((await fetch(`${provider.address}/health`)).status).toBe(200);
  expect(provider.journal()).toEqual([]);
});

test('it is on loopback, and ends with SIGTERM though a caller waits', async () => {
  const provider = await start();
  expect(provider.address).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
  expect(provider.child.messages).toEqual([{ address: provider.address, variable: 'PAYMENT_PROVIDER_URL' }]);
  const waiting = post(provider, '/captures', { ...capture, customerId: 'NEVER-1' }, 'n').catch(String);
  await until(() => provider.journal().length > 0, { what: 'the call is taken' });
  provider.child.process.kill('SIGTERM');
  await until(provider.child.ended, { what: 'it has ended' });
  expect(provider.child.process.exitCode).toBe(0);
  expect(await waiting).toMatch(/TypeError/);
});
