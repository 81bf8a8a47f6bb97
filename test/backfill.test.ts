import { TestSystem } from './support/system';
import { accounts, begin, both, bringIn, csvOf, makeFolder, readRejectsOf, truthOf } from './support/backfilling';

let system: TestSystem<typeof accounts.entities>;
let folder: ReturnType<typeof makeFolder>;

beforeEach(async () => {
  folder = makeFolder();
  system = await TestSystem.open(accounts);
});
afterEach(async () => {
  await system.close();
  folder.remove();
});

test('rows become commands in the order of the file; what is refused or wrong is a line of the rejects file', async () => {
  await system.startBackfillWorker(both);
  const file = folder.write(
    'a.csv',
    csvOf([
      '1,a,open,0,ann',
      '2,a,move,10,"in, with a comma"',
      '3,b,move,5,too early',
      '4,b,open,0,"bob\nthe second"',
      '5,b,move,5,x',
      '6,a,move,-20,no cover',
      '7,a,move,ten,no number',
      '8,a,move,1,throw',
      '9,a,move,1,too,many',
      '10,a,move,1,a "quote" inside',
      ',a,move,1,no id',
      '12,a/b,move,1,bad id',
      '13,a,move,-10,all',
    ]),
  );
  const ended = await bringIn(system, { name: 'bookings', file });
  expect(ended).toMatchObject({ status: 'done', rows_read: 13, accepted: 5, repeated: 0, events: 5, rejected: 8 });
  expect(ended.done).toBe(ended.total);
  expect(readRejectsOf(file)).toMatchObject([
    { line: 4, row: 3, id: '3', command: 0, entity: 'account/b', code: 'account.not_open' },
    { line: 8, row: 6, id: '6', command: 0, entity: 'account/a', code: 'account.empty' },
    { line: 9, row: 7, id: null, code: 'reprise.row_invalid', message: 'by: a whole number' },
    { line: 10, row: 8, id: '8', code: 'reprise.map_threw', message: 'this mapping cannot go on' },
    { line: 11, row: 9, code: 'reprise.row_unreadable', message: expect.stringContaining('7 fields') },
    { line: 12, row: 10, code: 'reprise.row_unreadable', message: expect.stringContaining('quote') },
    { line: 13, row: 11, code: 'reprise.row_id_invalid' },
    { line: 14, row: 12, id: '12', code: 'reprise.map_invalid' },
  ]);
  const { events, states } = await truthOf(system);
  expect(events).toHaveLength(5);
  expect(events[0]).toMatchObject({
    entity_id: 'a',
    version: 1,
    origin: 'backfill',
    published_after: null,
    command_id: 'backfill/bookings/1/0',
    occurred_at: '1999-12-31T23:59:59Z',
    meta: { actor: 'backfill/bookings' },
  });
  expect(states).toMatchObject([
    { entity_id: 'a', version: 3, published_version: 0, state: { owner: 'ann', balance: 0 } },
    { entity_id: 'b', version: 2, state: { owner: 'bob\nthe second', balance: 5 } },
  ]);
  const again = await bringIn(system, { name: 'bookings', file });
  expect(again).toMatchObject({ status: 'done', accepted: 0, repeated: 5, events: 0, rejected: 8 });
  expect((await truthOf(system)).events).toEqual(events);
  void begin;
});
