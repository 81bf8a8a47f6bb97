import { Client } from 'pg';
import { readProjections } from '../../db/projections';
import { model } from '../../shop/model';
import { addNote } from '../../shop/order/contract';
import { orderSummary } from '../../shop/order/projections';
import { TestSystem } from '../../test/support/system';
import { until } from '../../test/support/until';
import { applyOneByOne } from './one-by-one';
import { seedLog, seedReadModels } from './seed';
import { sumUp } from './sql-aggregate';
import { streamAll } from './stream';
import { compareByHash } from './verify-sql';

const ORDERS = 300;
const EVENTS = 900;
const LIVE = 'read.order_summary__g1';

let system: TestSystem<typeof model.entities>;
let owner: Client;
let second: Client;

beforeAll(async () => {
  system = await TestSystem.open(model);
  owner = new Client({ connectionString: system.database.url });
  second = new Client({ connectionString: system.database.url });
  await owner.connect();
  await second.connect();
  expect(await seedLog(owner, ORDERS)).toBe(EVENTS);
});
afterAll(async () => {
  await owner.end();
  await second.end();
  await system.close();
});

const emptyTable = async (name: string): Promise<string> => {
  await owner.query(`create table ${name} (${orderSummary.table})`);
  return name;
};

test('the log is gapless, its versions too, and its heads are its last offsets', async () => {
  const { rows } = await owner.query(
    `select p.partition, p.head, count(e.*) as events, min(e."offset") as first, max(e."offset") as last
     from reprise.partitions p left join reprise.events e using (partition) group by p.partition, p.head
     having count(e.*) <> p.head or min(e."offset") <> 1 or max(e."offset") <> p.head`,
  );
  expect(rows).toEqual([]);
  const { rows: histories } = await owner.query(
    `select entity_id from reprise.events group by entity_id
     having array_agg(version order by recorded_at) <> array[1, 2, 3]
        or array_agg(version order by "offset") <> array[1, 2, 3]`,
  );
  expect(histories).toEqual([]);
});

test('every baseline comes to the rows of the real projection', async () => {
  const consumers = await system.startConsumers();
  await until(async () => (await readProjections(system.db)).every(({ lag_events }) => lag_events === 0), {
    what: 'lag 0',
  });
  const [sql, stream, one] = [await emptyTable('sql_way'), await emptyTable('stream_way'), await emptyTable('one_way')];
  await sumUp(owner, sql);
  await streamAll([owner, second], stream);
  await applyOneByOne(owner, one, EVENTS);
  for (const table of [sql, stream, one]) expect(await compareByHash(owner, LIVE, table)).toBe(ORDERS);
  await consumers.stop();
});

test('the comparison sees one changed column, and one row too many', async () => {
  const other = await emptyTable('other');
  await owner.query(`insert into ${other} select * from ${LIVE}`);
  await owner.query(`update ${other} set units = units + 1 where order_id = '17'`);
  await expect(compareByHash(owner, LIVE, other)).rejects.toThrow(/differ/);
  await owner.query(`update ${other} set units = units - 1 where order_id = '17'`);
  expect(await compareByHash(owner, LIVE, other)).toBe(ORDERS);
  await owner.query(`insert into ${other} select '${ORDERS + 1}', r.customer_id, r.status, r.currency, r.total_minor,
    r.freight_minor, r.lines, r.units, r.created_at, r.paid_at, r.shipped_at, r.cancelled_at, r.version
    from ${LIVE} r where order_id = '17'`);
  await expect(compareByHash(owner, LIVE, other)).rejects.toThrow(/differ/);
});

test('a seeded order takes commands, and seeded read models are at head', async () => {
  await owner.query(`truncate ${LIVE}`);
  await seedReadModels(owner);
  expect((await readProjections(system.db)).map(({ lag_events }) => lag_events)).toEqual([0, 0, 0]);
  await system.startEntityWorker();
  const client = await system.client();
  expect(await client.order('17').send(addNote({ text: 'seeded' }))).toMatchObject({
    outcome: 'accepted',
    version: 4,
  });
});
