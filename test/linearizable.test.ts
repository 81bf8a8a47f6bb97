import { performance } from 'node:perf_hooks';
import { model } from '../shop/model';
import { addNote, createOrder, payOrder } from '../shop/order/contract';
import { notLinearizable, type Call } from './support/linearizable';
import { create, DUE_MINOR } from './support/orders';
import { TestSystem } from './support/system';

describe('the checker', () => {
  const call = (
    commandId: string,
    startedAt: number,
    endedAt: number,
    version: number | null,
    outcome: Call['outcome'] = 'accepted',
  ): Call => ({
    commandId,
    startedAt,
    endedAt,
    version,
    outcome,
  });
  test('takes overlapping calls in either order', () => {
    expect(
      notLinearizable(
        [call('a', 0, 10, 2), call('b', 0, 10, 1)],
        new Map([
          ['a', 2],
          ['b', 1],
        ]),
      ),
    ).toBeNull();
  });
  test('takes an unknown call with or without an effect', () => {
    const unknown = call('u', 0, Infinity, null, 'unknown');
    expect(notLinearizable([unknown, call('b', 20, 30, 1)], new Map([['b', 1]]))).toBeNull();
    expect(
      notLinearizable(
        [unknown, call('b', 20, 30, 1)],
        new Map([
          ['u', 2],
          ['b', 1],
        ]),
      ),
    ).toBeNull();
  });
  test('rejects a later call that took effect earlier', () => {
    expect(
      notLinearizable(
        [call('a', 0, 10, 2), call('b', 20, 30, 1)],
        new Map([
          ['a', 2],
          ['b', 1],
        ]),
      ),
    ).toMatch(/a ended before b began/);
  });
  test('takes a repeat for one more telling of the same effect, begun with its first send', () => {
    const repeat = call('u', 40, 50, 1);
    const later = call('b', 20, 30, 2);
    const log = new Map([
      ['u', 1],
      ['b', 2],
    ]);
    expect(notLinearizable([call('u', 0, Infinity, null, 'unknown'), later, repeat], log)).toBeNull();
    expect(notLinearizable([later, repeat], log)).toMatch(/b ended before u began/);
  });
  test('rejects a repeat that is told something else', () => {
    expect(notLinearizable([call('a', 0, 10, 1), call('a', 20, 30, 2)], new Map([['a', 1]]))).toMatch(
      /accepted at 1, then accepted at 2/,
    );
    expect(notLinearizable([call('a', 0, 10, 1), call('a', 20, 30, 1, 'refused')], new Map([['a', 1]]))).toMatch(
      /accepted at 1, then refused at 1/,
    );
    expect(notLinearizable([call('r', 0, 10, 1, 'refused'), call('r', 20, 30, 2, 'refused')], new Map())).toMatch(
      /refused at 1, then refused at 2/,
    );
  });
  test('rejects an effect before its call, by an unknown one too', () => {
    const late = call('u', 50, Infinity, null, 'unknown');
    expect(
      notLinearizable(
        [late, call('b', 20, 30, 2)],
        new Map([
          ['u', 1],
          ['b', 2],
        ]),
      ),
    ).toMatch(/b ended before u began/);
  });
  test('rejects a refusal given on a state that was past', () => {
    expect(
      notLinearizable(
        [call('a', 0, 10, 2), call('r', 20, 30, 1, 'refused')],
        new Map([
          ['x', 1],
          ['a', 2],
        ]),
      ),
    ).toMatch(/a ended before r began/);
  });
  test('rejects an answer that the log does not have, and one version made twice', () => {
    expect(notLinearizable([call('a', 0, 10, 1)], new Map())).toMatch(/the log has undefined/);
    expect(
      notLinearizable(
        [],
        new Map([
          ['a', 1],
          ['b', 1],
        ]),
      ),
    ).toMatch(/two commands/);
    expect(notLinearizable([call('a', 0, 1, 1, 'refused')], new Map([['a', 1]]))).toMatch(/refused and has an event/);
  });
});

type OrderCommand = ReturnType<typeof create> | ReturnType<typeof payOrder> | ReturnType<typeof addNote>;

test('invariant 6: serial per entity, with two workers, three clients, cut deadlines and repeats', async () => {
  const system = await TestSystem.open(model);
  await Promise.all([system.startEntityWorker(), system.startEntityWorker()]);
  const clients = await Promise.all([system.client(), system.client(), system.client()]);
  const ids = ['lin-a', 'lin-b', 'lin-c'];
  const calls = new Map(ids.map((id) => [id, [] as Call[]]));

  const one = async (worker: number, n: number) => {
    const id = ids[n % ids.length] ?? '';
    const commandId = `w${worker}-${n}`;
    const command =
      n < 3 ? create() : n % 7 === 0 ? payOrder({ amountMinor: n % 2 ? DUE_MINOR : 1 }) : addNote({ text: `${n}` });
    // Every fifth call is cut short: its outcome is unknown. Half of those, and every eleventh that was answered, are
    // sent again under the same id, by another client: the answer must be that of the first, whenever it is asked for.
    const deadline = n % 5 === 4 ? 8 : 60_000;
    await call(worker, id, commandId, command, deadline);
    if (n % 10 === 4 || n % 11 === 0) await call((worker + 1) % clients.length, id, commandId, command, 60_000);
  };
  const call = async (worker: number, id: string, commandId: string, command: OrderCommand, deadline: number) => {
    const startedAt = performance.now();
    const answer = await clients[worker]?.order(id).send(command, { commandId, deadline });
    const endedAt = performance.now();
    if (!answer || answer.outcome === 'failed') throw new Error(`a failed answer: ${JSON.stringify(answer)}`);
    calls
      .get(id)
      ?.push(
        answer.outcome === 'unknown'
          ? { commandId, startedAt, endedAt: Infinity, outcome: 'unknown', version: null }
          : { commandId, startedAt, endedAt, outcome: answer.outcome, version: answer.version },
      );
  };
  await Promise.all(
    clients.flatMap((_, worker) =>
      [0, 1, 2].map(async (lane) => {
        for (let n = lane; n < 120; n += 3) await one(worker, n);
      }),
    ),
  );
  // What was unknown may still be on its way: another command behind it settles the entity.
  for (const id of ids) await clients[0]?.order(id).send(createOrder({ ...create().data }), { commandId: 'last' });

  for (const id of ids) {
    const { rows } = await system.db.query<{ command_id: string; version: number }>(
      'select command_id, version from reprise.events where entity_id = $1',
      [id],
    );
    const history = calls.get(id) ?? [];
    expect(new Set(history.map(({ commandId }) => commandId)).size).toBe(120);
    expect(history.length).toBeGreaterThan(120);
    expect(notLinearizable(history, new Map(rows.map(({ command_id, version }) => [command_id, version])))).toBeNull();
  }
  expect([...calls.values()].flat().filter(({ outcome }) => outcome === 'accepted').length).toBeGreaterThan(180);
  await system.close();
}, 120_000);
