import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from 'pg';
import { model } from '../shop/model';
import { required } from '../test/support/system';
import { kindOf } from './errors';
import { migrate } from './migrate';

const MIGRATIONS = readdirSync(join(__dirname, 'migrations')).length;

let url: string;
let admin: Client;
const name = `migrate_${process.pid}`;

beforeAll(async () => {
  admin = new Client({ connectionString: required('REPRISE_TEST_DATABASE_URL') });
  await admin.connect();
  await admin.query(`create database ${name}`);
  const own = new URL(required('REPRISE_TEST_DATABASE_URL'));
  own.pathname = `/${name}`;
  url = own.toString();
});
afterAll(async () => {
  await admin.query(`drop database ${name} with (force)`);
  await admin.end();
});

const asOwner = async (statement: string) => {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(statement)).rows;
  } finally {
    await client.end();
  }
};

test('two starters at once migrate once', async () => {
  const [one, two] = await Promise.all([migrate(url, { model, owned: true }), migrate(url, { model, owned: true })]);
  expect([one.applied.length, two.applied.length].sort()).toEqual([0, MIGRATIONS]);
  expect(await asOwner('select count(*)::integer as n from reprise.partitions')).toEqual([{ n: 64 }]);
  expect(await asOwner('select count(*)::integer as n from reprise.generations')).toEqual([
    { n: model.projections.length },
  ]);
});
test('a third finds nothing to do', async () => {
  expect(await migrate(url, { model, owned: true })).toEqual({ applied: [], already: MIGRATIONS });
});
test('the number of partitions is fixed when the database is created', async () => {
  await expect(migrate(url, { model, owned: true, partitions: 8 })).rejects.toThrow(/cut into 64 partitions/);
});
test('an edited migration is refused', async () => {
  await asOwner(`update reprise.migrations set checksum = 'x' || checksum where id = 2`);
  await expect(migrate(url, { model, owned: true })).rejects.toThrow(/0002_commit was edited/);
  await asOwner(`update reprise.migrations set checksum = substr(checksum, 2) where id = 2`);
});
test('a database newer than the code is refused', async () => {
  await asOwner(`insert into reprise.migrations (id, name, checksum) values (9999, '9999_future', 'x')`);
  await expect(migrate(url, { model, owned: true })).rejects.toThrow(/newer Reprise/);
  await asOwner(`delete from reprise.migrations where id = 9999`);
});
test('text is UTF-8, whatever the machine', async () => {
  expect(
    await asOwner(
      `select upper('méxico') as loud, length('México') as letters, current_setting('server_encoding') as encoding`,
    ),
  ).toEqual([{ loud: expect.stringMatching(/^M[ÉE]XICO$|^MéXICO$/) as string, letters: 6, encoding: 'UTF8' }]);
});

test.each([
  [{ code: 'RP001' }, 'moved'],
  [{ code: '23505', constraint: 'entities_pkey' }, 'moved'],
  [{ code: '23505', constraint: 'other' }, 'bug'],
  [{ code: '40P01' }, 'passing'],
  [{ code: '57P01' }, 'passing'],
  [{ code: '53300' }, 'passing'],
  [{ code: 'ECONNRESET' }, 'passing'],
  [{ message: 'Connection terminated unexpectedly' }, 'passing'],
  [{ code: '22P05' }, 'data'],
  [{ code: '54001' }, 'data'],
  [{ code: '42P01' }, 'bug'],
  [{ message: 'undefined is not a function' }, 'bug'],
] as const)('%j is %s', (error, kind) => {
  expect(kindOf(Object.assign(new Error('message' in error ? error.message : 'x'), error))).toBe(kind);
});
