import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startTemporal } from '../embedded/temporal';
import { partitionOf } from '../model/partition';
import { model } from '../shop/model';
import { addNote } from '../shop/order/contract';
import { Connection } from '@temporalio/client';
import { registerSearchAttributes } from '../client/search-attributes';
import { startChild } from './support/child';
import { create, pay } from './support/orders';
import { TestSystem } from './support/system';
import { until } from './support/until';

test('a worker killed after COMMIT and before Temporal hears of it: the retry answers from the log, nothing happens twice', async () => {
  const system = await TestSystem.open(model);
  const child = startChild('crashing-entity-worker.ts', {
    CHILD_DATABASE_URL: system.database.urlOf('commit'),
    CHILD_TEMPORAL: system.address,
    CHILD_QUEUE: system.entityQueue,
  });
  await until(() => child.messages.includes('ready'), { what: 'the child works' });
  const client = await system.client();
  const answer = client.order('crash').send(create(), { commandId: 'c', deadline: 60_000 });
  await until(() => child.ended(), { what: 'the child has killed itself' });
  const committed = `select event_id from reprise.events where entity_id = 'crash'`;
  const { rows: before } = await system.db.query<{ event_id: string }>(committed);
  expect(before).toHaveLength(1);

  await system.startEntityWorker();
  expect(await answer).toMatchObject({
    outcome: 'accepted',
    version: 1,
    eventIds: [before[0]?.event_id],
    repeated: true,
  });
  expect((await system.db.query(committed)).rows).toEqual(before);
  expect(await client.order('crash').send(pay())).toMatchObject({ outcome: 'accepted', version: 2 });
  await system.close();
});

test('Temporal restarted in between: what was acknowledged stays, what was under way is answered', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'reprise-temporal-'));
  let temporal = await startTemporal({ dir });
  const connection = await Connection.connect({ address: temporal.address });
  await registerSearchAttributes(connection, temporal.namespace);
  await connection.close();
  const system = await TestSystem.open(model, temporal.address);
  await system.startEntityWorker();
  const client = await system.client();
  const order = client.order('restarted');
  await order.send(create());
  let next = 0;
  let restarted = false;
  const answers: Promise<unknown>[] = [];
  const sending = (async () => {
    while (!restarted || next < 60) {
      const commandId = `n${next++}`;
      const answer = order.send(addNote({ text: commandId }), { commandId, deadline: 60_000 });
      answers.push(answer);
      await answer;
    }
  })();
  await until(() => next > 20, { what: 'notes are being added' });
  const port = Number(new URL(`http://${temporal.address}`).port);
  await temporal.stop();
  temporal = await startTemporal({ dir, port });
  restarted = true;
  await sending;
  expect(await Promise.all(answers)).toEqual(answers.map(() => expect.objectContaining({ outcome: 'accepted' })));
  expect((await order.state())?.version).toBe(1 + answers.length);
  await system.close();
  await temporal.stop();
  await rm(dir, { recursive: true, force: true });
}, 120_000);

test('an order that was open when its worker stopped goes on with the next one', async () => {
  const system = await TestSystem.open(model);
  const first = await system.startEntityWorker();
  const client = await system.client();
  await client.order('handed-over').send(create());
  await first.stop();
  await system.startEntityWorker();
  expect(await client.order('handed-over').send(pay())).toMatchObject({ outcome: 'accepted', version: 2 });
  await system.close();
});

test('past the deadline the outcome is unknown, and a retry under the same id tells it', async () => {
  const system = await TestSystem.open(model);
  const client = await system.client();
  const order = client.order('unknown');
  expect(await order.send(create(), { commandId: 'c', deadline: 300 })).toMatchObject({
    outcome: 'unknown',
    commandId: 'c',
  });
  await system.startEntityWorker();
  expect(await order.send(create(), { commandId: 'c' })).toMatchObject({ outcome: 'accepted', version: 1 });
  expect((await system.db.query(`select from reprise.events where entity_id = 'unknown'`)).rowCount).toBe(1);
  await system.close();
});

test('a namespace that belongs to another database is refused before anything is written', async () => {
  const system = await TestSystem.open(model);
  await system.client();
  const { rows } = await system.db.query<{ id: string }>(
    'update reprise.identity set id = gen_random_uuid() returning id',
  );
  await expect(system.client()).rejects.toMatchObject({
    name: 'WrongDatabase',
    message: expect.stringContaining(rows[0]?.id ?? '?') as string,
  });
  await system.close();
});

test("a transaction holding one partition's head for 5 s: others go on, that one waits, nothing is lost", async () => {
  const system = await TestSystem.open(model);
  await Promise.all([system.startEntityWorker(), system.startConsumers()]);
  const client = await system.client();
  const held = partitionOf('order', 'held', 64);
  const ids = Array.from({ length: 400 }, (_, n) => `head-${n}`);
  const same = ids.filter((id) => partitionOf('order', id, 64) === held);
  const others = ids.filter((id) => partitionOf('order', id, 64) !== held).slice(0, 60);
  expect(same.length).toBeGreaterThan(1);

  const holder = await system.db.connect();
  await holder.query('begin');
  await holder.query('update reprise.partitions set head = head where partition = $1', [held]);
  let answered = 0;
  const waiting = same.map((id) =>
    client
      .order(id)
      .send(create(), { deadline: 60_000, waitFor: ['order_summary'] })
      .finally(() => (answered += 1)),
  );
  const releasedAt = Date.now() + 5_000;
  // While it is held, the others are committed and readable; each finds its answer without that lock.
  for (let n = 0; Date.now() < releasedAt; n = (n + 1) % others.length) {
    const answer = await client.order(others[n] ?? '').send(n % 2 ? create() : addNote({ text: 'n' }));
    expect(['accepted', 'refused']).toContain(answer.outcome);
    expect(answered).toBe(0);
  }
  await holder.query('commit');
  holder.release();

  for (const answer of await Promise.all(waiting)) {
    expect(answer).toMatchObject({ outcome: 'accepted', version: 1, waited: { order_summary: 'applied' } });
  }
  const { rows } = await system.db.query(
    `select p.partition from reprise.partitions p left join reprise.events e using (partition)
     group by p.partition, p.head having count(e.*) <> p.head or coalesce(max(e."offset"), 0) <> p.head`,
  );
  expect(rows).toEqual([]);
  await system.close();
}, 120_000);
