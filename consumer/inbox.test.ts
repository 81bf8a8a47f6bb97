import { randomUUID } from 'node:crypto';
import { testDatabase, type TestDatabase } from '../test/support/system';
import { NotAnEnvelope, parseEnvelope, SKIPPED, type Envelope } from '../contracts/envelope';
import { makeInbox, MissingPredecessor, type Inbox } from './inbox';

let database: TestDatabase;
let inbox: Inbox;

beforeAll(async () => {
  database = await testDatabase();
  inbox = makeInbox({ db: database.db, consumer: 'billing' });
  await Promise.all([inbox.prepare(), inbox.prepare(), inbox.prepare()]);
  await database.db.query('create table counted (entity text, version integer)');
});
afterAll(() => database.drop());

const envelope = (entity: string, entityversion: number, previousversion: number, more = {}): Envelope => ({
  specversion: '1.0',
  id: randomUUID(),
  source: '/reprise/order',
  type: 'order.created',
  subject: entity,
  time: '2026-01-01T00:00:00Z',
  partitionkey: `order/${entity}`,
  entityversion,
  previousversion,
  data: {},
  ...more,
});

const count = (of: Inbox, one: Envelope) =>
  of.handle(one, async (tx, { partitionkey, entityversion }) => {
    await tx.query('insert into counted values ($1, $2)', [partitionkey, entityversion]);
  });
const counted = async (entity: string) =>
  (
    await database.db.query<{ version: number }>('select version from counted where entity = $1 order by version', [
      `order/${entity}`,
    ])
  ).rows.map(({ version }) => version);

test('invariant 10: duplicates change nothing, one after the other or at once', async () => {
  const first = envelope('twice', 1, 0);
  expect(await count(inbox, first)).toBe('handled');
  expect(await count(inbox, first)).toBe('duplicate');
  const second = envelope('twice', 2, 1);
  const answers = await Promise.all(Array.from({ length: 8 }, () => count(inbox, second)));
  expect(answers.filter((answer) => answer === 'handled')).toHaveLength(1);
  expect(await count(inbox, first)).toBe('duplicate');
  expect(await counted('twice')).toEqual([1, 2]);
});

test('a missing predecessor is told, and nothing is done until it has come', async () => {
  const [one, two, three] = [envelope('gap', 1, 0), envelope('gap', 2, 1), envelope('gap', 3, 2)];
  await count(inbox, one);
  await expect(count(inbox, three)).rejects.toMatchObject({ entity: 'order/gap', expected: 2, last: 1 });
  await expect(count(inbox, envelope('never', 2, 1))).rejects.toThrow(MissingPredecessor);
  expect(await count(inbox, two)).toBe('handled');
  expect(await count(inbox, three)).toBe('handled');
  expect(await counted('gap')).toEqual([1, 2, 3]);
});

test('private events between two published ones are no gap', async () => {
  await count(inbox, envelope('private', 1, 0));
  expect(await count(inbox, envelope('private', 4, 1))).toBe('handled');
});

test('a handler that throws leaves nothing, and the event may come again', async () => {
  const one = envelope('throws', 1, 0);
  const failing = inbox.handle(one, async (tx) => {
    await tx.query(`insert into counted values ('order/throws', 1)`);
    throw new Error('no');
  });
  await expect(failing).rejects.toThrow('no');
  expect(await counted('throws')).toEqual([]);
  expect(await count(inbox, one)).toBe('handled');
  expect(await counted('throws')).toEqual([1]);
});

test('a skipped event keeps its place, and no handler sees it', async () => {
  await count(inbox, envelope('skipped', 1, 0));
  expect(await count(inbox, envelope('skipped', 2, 1, { type: SKIPPED }))).toBe('handled');
  expect(await count(inbox, envelope('skipped', 3, 2))).toBe('handled');
  expect(await counted('skipped')).toEqual([1, 3]);
});

test('a consumer that joined late takes what comes first, and then keeps the order', async () => {
  const late = makeInbox({ db: database.db, consumer: 'late', from: 'first-seen' });
  expect(await count(late, envelope('late', 7, 6))).toBe('handled');
  await expect(count(late, envelope('late', 9, 8))).rejects.toThrow(MissingPredecessor);
  expect(await count(late, envelope('late', 6, 5))).toBe('duplicate');
});

test('what is forgotten is still a duplicate', async () => {
  const events = [envelope('old', 1, 0), envelope('old', 2, 1), envelope('old', 3, 2)];
  for (const one of events) await count(inbox, one);
  expect(await inbox.forget({ olderThan: new Date(Date.now() + 1_000) })).toBeGreaterThanOrEqual(2);
  for (const one of events) expect(await count(inbox, one)).toBe('duplicate');
  expect(await count(inbox, envelope('old', 4, 3))).toBe('handled');
});

test.each([
  ['{', /not JSON/],
  [Buffer.from([0xff, 0xfe]), /not JSON/],
  ['null', /the whole/],
  [JSON.stringify({ ...envelope('x', 1, 0), entityversion: 1e300 }), /entityversion/],
  [JSON.stringify({ ...envelope('x', 1, 0), entityversion: '1' }), /entityversion/],
  [JSON.stringify({ ...envelope('x', 1, 0), id: "'; drop table" }), /: wrong or missing id$/],
  ['{"__proto__": {"id": 1}}', /id/],
])('a body that no relay published is told as such, and not echoed: %#', (body, why) => {
  expect(() => parseEnvelope(body)).toThrow(NotAnEnvelope);
  expect(() => parseEnvelope(body)).toThrow(why);
});

test('an envelope passes as it is', () => {
  const one = envelope('x', 1, 0, { traceparent: '00-a-b-01' });
  expect(parseEnvelope(Buffer.from(JSON.stringify(one)))).toEqual(one);
});
