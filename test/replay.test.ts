import type { RepriseClient } from '../client/client';
import {
  askReplay,
  findReplay,
  readReplayState,
  ReplayRunning,
  ReplaySilent,
  startReplay,
  type ReplayDoor,
} from '../client/replay';
import { controlReplay, readReplays, type ReplayStatus } from '../db/replays';
import { projectionConsumer } from '../workflows/names';
import type { ReplayInput } from '../workflows/replay';
import { readProjections } from '../db/projections';
import { model } from '../shop/model';
import { addNote } from '../shop/order/contract';
import { startChild, type Child } from './support/child';
import { INPUT } from './support/filling';
import { create, pay, ship } from './support/orders';
import { TestSystem } from './support/system';
import { until } from './support/until';

const NAME = 'order_summary';
const ORDERS = 60;
let system: TestSystem<typeof model.entities>;
let client: RepriseClient<typeof model.entities>;
let door: ReplayDoor;
let worker: Child;
let traffic: { readonly stop: () => Promise<number> };

beforeAll(async () => {
  system = await TestSystem.open(model);
  await system.startEntityWorker();
  await system.startConsumers();
  client = await system.client();
  door = { temporal: system.temporal, idPrefix: system.name };
  await Promise.all(
    Array.from({ length: ORDERS }, async (_, n) => {
      const order = client.order(`o-${n}`);
      await order.send(create());
      await order.send(pay());
      if (n % 2 === 0) await order.send(ship());
    }),
  );
  worker = await startWorker();
  traffic = sendSteadily();
}, 120_000);
afterAll(async () => {
  await traffic.stop();
  await worker.kill();
  await system.close();
});

async function startWorker(): Promise<Child> {
  const child = startChild('replay-worker.ts', {
    CHILD_DATABASE_URL: system.database.urlOf('replay'),
    CHILD_READ_URL: system.database.urlOf('read'),
    CHILD_TEMPORAL: system.address,
    CHILD_PREFIX: system.name,
  });
  await until(() => child.messages.length > 0, { what: 'the replay worker is up', withinMs: 60_000 });
  return child;
}

/** Notes on orders, one after the other: live traffic for as long as the tests run. */
function sendSteadily(): { readonly stop: () => Promise<number> } {
  let going = true;
  const sending = (async () => {
    let sent = 0;
    for (; going; sent++) await client.order(`o-${(sent % (ORDERS / 2)) * 2 + 1}`).send(addNote({ text: `${sent}` }));
    return sent;
  })();
  return { stop: () => ((going = false), sending) };
}

const start = (input: Partial<ReplayInput> = {}) => startReplay(door, { ...INPUT, projection: NAME, ...input });
const status = async (): Promise<ReplayStatus | undefined> => (await readReplays(system.db, NAME, 1))[0];
/** Null: nobody answers now. */
const stage = async () => {
  try {
    return (await readReplayState(door, NAME)).stage;
  } catch (error) {
    if (error instanceof ReplaySilent) return null;
    throw error;
  }
};
const reach = (wanted: string) =>
  until(async () => (await stage()) === wanted, { what: `it is ${wanted}`, withinMs: 60_000 });
const ended = () => until(async () => (await findReplay(door, NAME)) === null, { what: 'it has ended', withinMs: 60_000 }); // prettier-ignore
const generations = async () =>
  (await system.db.query<{ generation: number; status: string }>(
    `select generation, status from reprise.generations where consumer = $1::text and status <> 'dropped' order by generation`,
    [projectionConsumer(NAME)],
  )).rows; // prettier-ignore
const kill = async () => {
  await worker.kill();
  worker = await startWorker();
};

test('a read model is built again beside live traffic, verified, switched, rolled back and switched for good', async () => {
  await start({ graceMs: 600_000 });
  await expect(start()).rejects.toThrow(ReplayRunning);
  await reach('verified');
  expect(await status()).toMatchObject({ phase: 'verified', report: { missing: 0, extra: 0, different: 0 } });
  await askReplay(door, NAME, 'switch');
  await reach('switched');
  expect(await generations()).toEqual([
    { generation: 1, status: 'standby' },
    { generation: 2, status: 'active' },
  ]);
  const answer = await client.order('after').send(create(), { waitFor: [NAME], deadline: 20_000 });
  expect(answer).toMatchObject({ waited: { [NAME]: 'applied' } });
  await askReplay(door, NAME, 'rollback');
  await ended();
  expect(await generations()).toEqual([{ generation: 1, status: 'active' }]);
  expect(await status()).toMatchObject({ phase: 'rolled-back', ended: expect.any(String) as unknown });

  await start({ switchWhenVerified: true });
  await ended();
  expect(await generations()).toEqual([{ generation: 3, status: 'active' }]);
}, 180_000);

test('invariant 14: killed at every step and under live traffic, what is built equals what is live', async () => {
  await start({ rate: 150 });
  await until(async () => (await status())?.phase === 'filling' && ((await status())?.done ?? 0) > 30, { what: 'it fills' }); // prettier-ignore
  await kill();
  const building = await status();
  await controlReplay(system.db, { consumer: projectionConsumer(NAME), generation: building?.generation ?? 0 }, { rate: null }); // prettier-ignore
  await until(async () => (await stage()) === 'verifying', { what: 'it verifies', withinMs: 60_000 }).catch(
    () => undefined,
  ); // it may be quicker than a look
  await kill();
  await reach('verified');
  expect((await status())?.report).toMatchObject({ missing: 0, extra: 0, different: 0 });
  await Promise.all([askReplay(door, NAME, 'switch').catch(() => undefined), kill()]);
  if ((await stage()) === 'verified') await askReplay(door, NAME, 'switch'); // it had not been heard
  await ended();
  const generation = building?.generation ?? 0;
  expect(await generations()).toEqual([{ generation, status: 'active' }]);
  await until(async () => (await readProjections(system.db)).every(({ lag_events }) => lag_events < 20), {
    what: 'it is fed',
  });
}, 240_000);

test('a live row made wrong by hand is found, and stops the switch until it is right again', async () => {
  const [live] = await generations();
  const table = `read.${NAME}__g${live?.generation}`;
  await system.db.query(`update ${table} set total_minor = total_minor + 1 where order_id = 'o-0'`);
  await start();
  await reach('different');
  expect((await status())?.report).toMatchObject({ missing: 0, extra: 0, different: 1, samples: [{ key: 'o-0' }] });
  await expect(askReplay(door, NAME, 'switch')).rejects.toThrow(/different/);
  await system.db.query(`update ${table} set total_minor = total_minor - 1 where order_id = 'o-0'`);
  await askReplay(door, NAME, 'verify');
  await reach('verified');
  await askReplay(door, NAME, 'switch');
  await ended();
}, 180_000);

test('cancelled while it fills, it leaves nothing; a rehearsal leaves nothing either', async () => {
  const before = await generations();
  await start({ rate: 20 });
  await until(async () => (await stage()) === 'filling' && ((await status())?.done ?? 0) > 0, { what: 'it fills' });
  await askReplay(door, NAME, 'cancel');
  await ended();
  expect(await status()).toMatchObject({ phase: 'cancelled', ended: expect.any(String) as unknown });
  await start({ rehearsal: true });
  await ended();
  expect(await status()).toMatchObject({ phase: 'dropped', report: { different: 0 } });
  expect(await generations()).toEqual(before);
}, 180_000);

test('invariant 13: through all of it the worker of replays tried to reach nothing outside', async () => {
  const heard = worker.messages.length;
  worker.process.send('refused?');
  await until(() => worker.messages.length > heard, { what: 'it answers' });
  expect(worker.messages.at(-1)).toEqual({ refused: 0 });
});
