import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { placeOf } from '../workers/replay/wall';
import { startChild } from './support/child';
import { required, testDatabase } from './support/system';
import { until } from './support/until';

test('invariant 13: from behind the wall of a replay PostgreSQL and Temporal are reached, and nothing else', async () => {
  const database = await testDatabase();
  let connections = 0;
  const outside = http.createServer((_, answer) => answer.end()).on('connection', () => (connections += 1));
  await new Promise<void>((listening) => outside.listen(0, '127.0.0.1', listening));
  const url = `http://127.0.0.1:${(outside.address() as AddressInfo).port}/`;
  const child = startChild('walled-child.ts', {
    CHILD_DATABASE_URL: database.urlOf('replay'),
    CHILD_TEMPORAL: required('REPRISE_TEST_TEMPORAL'),
    CHILD_OUTSIDE: url,
  });
  await until(() => child.messages.length > 0 || child.ended(), { what: 'every way is tried' });
  await child.kill();
  const ways = ['fetch', 'http', 'socket', 'options', 'path', 'mail', 'datagram', 'process'];
  expect(child.messages).toEqual([
    {
      outcomes: {
        ...Object.fromEntries(ways.map((way) => [way, 'refused'])),
        postgres: 'went through',
        temporal: 'went through',
      },
      refused: expect.any(Number) as unknown,
    },
  ]);
  expect(connections).toBe(0);
  expect((await fetch(url)).ok).toBe(true); // the positive control: from here it is reached
  expect(connections).toBe(1);
  outside.closeAllConnections();
  outside.close();
  await database.drop();
});

test.each([
  ['postgres://u:p@db.example:5433/x', { host: 'db.example', port: 5433 }],
  ['postgres://u:p@db.example/x', { host: 'db.example', port: 5432 }],
  ['postgres:///x?host=/var/run/postgresql', { host: '/var/run/postgresql', port: 5432 }],
  ['127.0.0.1:7233', { host: '127.0.0.1', port: 7233 }],
  ['https://ns.acct.tmprl.cloud:7233', { host: 'ns.acct.tmprl.cloud', port: 7233 }],
  ['postgres://u:p@[::1]:5432/x', { host: '::1', port: 5432 }],
])('an address leads to its place: %s', (address, place) => {
  expect(placeOf(address)).toEqual(place);
});
