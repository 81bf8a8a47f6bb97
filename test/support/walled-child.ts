import { execFile } from 'node:child_process';
import dgram from 'node:dgram';
import http from 'node:http';
import net from 'node:net';
import { Connection } from '@temporalio/client';
import { createTransport } from 'nodemailer';
import { Client } from 'pg';
import { placeOf, wallOff } from '../../workers/replay/wall';
import { required } from './system';

// Tries every way to the outside that a fold could have, behind the wall of a replay.
async function main(): Promise<void> {
  const [databaseUrl, temporal] = [required('CHILD_DATABASE_URL'), required('CHILD_TEMPORAL')];
  const refused = wallOff([placeOf(databaseUrl), placeOf(temporal)]);
  const outside = new URL(required('CHILD_OUTSIDE'));
  const port = Number(outside.port);
  const ways: Readonly<Record<string, () => unknown>> = {
    fetch: () => fetch(outside),
    http: () => new Promise((resolve, reject) => http.get(outside, resolve).on('error', reject)),
    socket: () => settled(net.connect(port, outside.hostname)),
    options: () => settled(net.connect({ host: outside.hostname, port })),
    path: () => settled(net.connect('/tmp/any.sock')),
    mail: () => createTransport({ host: outside.hostname, port }).sendMail({ to: 'a@example.com', text: 'x' }),
    datagram: () => dgram.createSocket('udp4').send('x', port, outside.hostname),
    process: () => execFile('true'),
    postgres: async () => {
      const client = new Client({ connectionString: databaseUrl });
      await client.connect();
      await client.query('select 1');
      await client.end();
    },
    temporal: async () => (await Connection.connect({ address: temporal })).close(),
  };
  const outcomes: Record<string, string> = {};
  for (const [name, way] of Object.entries(ways)) outcomes[name] = await outcomeOf(way);
  process.send?.({ outcomes, refused: refused() });
}

async function outcomeOf(way: () => unknown): Promise<string> {
  try {
    await way();
    return 'went through';
  } catch (error) {
    const { message, cause } = error as Error;
    return /may not reach the outside/.test(`${message} ${String(cause)}`) ? 'refused' : message;
  }
}

const settled = (socket: net.Socket) =>
  new Promise((resolve, reject) => socket.on('connect', resolve).on('error', reject));

void main();
