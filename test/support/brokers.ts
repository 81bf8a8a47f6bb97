import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect as connectTcp } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect as connectNats } from '@nats-io/transport-node';
import { connect as connectRabbit } from 'amqplib';
import { freePort } from '../../embedded/ports';
import type { SinkRow } from '../../relay/open-sink';
import { until } from './until';

/** What lies on a bus, in the order it came to lie there per entity. */
export interface OnTheBus {
  readonly id: string;
  readonly type: string;
  readonly partitionkey: string;
  readonly entityversion: number;
  readonly previousversion: number;
  readonly data: unknown;
}

/** A broker under test, with a place of its own on it. */
export interface Bus {
  readonly row: SinkRow;
  readonly env: NodeJS.ProcessEnv;
  readonly readAll: () => Promise<OnTheBus[]>;
  readonly close: () => Promise<void>;
}

/** A NATS server of the test's own, which it may kill. */
export class OwnNats {
  private child: ChildProcess | null = null;
  private readonly dir = mkdtempSync(join(tmpdir(), 'reprise-nats-'));
  private readonly config = join(this.dir, 'nats.conf');
  readonly url: string;

  private constructor(readonly port: number) {
    this.url = `nats://127.0.0.1:${port}`;
  }

  static async open(settings: Readonly<Record<string, number | string>> = {}): Promise<OwnNats> {
    const nats = new OwnNats(await freePort(14_222));
    nats.configure(settings);
    await nats.start();
    return nats;
  }

  async start(): Promise<void> {
    this.child = spawn('nats-server', ['-c', this.config], { stdio: 'ignore' });
    await until(() => reachable(this.port), { what: 'NATS listens' });
  }

  private configure(settings: Readonly<Record<string, number | string>>): void {
    const own = { listen: `"127.0.0.1:${this.port}"`, jetstream: `{ store_dir: "${this.dir}" }` };
    const lines = Object.entries({ ...own, ...settings }).map(([name, value]) => `${name}: ${value}\n`);
    writeFileSync(this.config, lines.join(''));
  }

  /** While it runs: what was connected stays so. */
  reconfigure(settings: Readonly<Record<string, number>>): void {
    this.configure(settings);
    this.child?.kill('SIGHUP');
  }

  async kill(): Promise<void> {
    const child = this.child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((done) => child.once('exit', done));
    child.kill('SIGKILL');
    await ended;
  }

  async close(): Promise<void> {
    await this.kill();
    rmSync(this.dir, { recursive: true, force: true });
  }
}

function reachable(port: number): Promise<true | null> {
  return new Promise((resolve) => {
    const socket = connectTcp({ port, host: '127.0.0.1' });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(null));
  });
}

/** Everything in a stream, by its sequence. */
export async function readStream(url: string, stream: string): Promise<OnTheBus[]> {
  const connection = await connectNats({ servers: url });
  try {
    const manager = await jetstreamManager(connection);
    const { state } = await manager.streams.info(stream);
    const messages: OnTheBus[] = [];
    for (let seq = state.first_seq; seq <= state.last_seq; seq++) {
      const stored = await manager.streams.getMessage(stream, { seq });
      if (stored) messages.push(stored.json<OnTheBus>());
    }
    return messages;
  } finally {
    await connection.close();
  }
}

export function natsBus(url: string, options: Record<string, string> = {}): Bus {
  const name = `t${randomBytes(5).toString('hex')}`;
  return {
    row: { sink: name, kind: 'nats', options: { stream: name, prefix: name, ...options } },
    env: { NATS_URL: url },
    readAll: () => readStream(url, name),
    close: () => Promise.resolve(),
  };
}

export async function rabbitBus(url: string): Promise<Bus> {
  const name = `t${randomBytes(5).toString('hex')}`;
  const connection = await connectRabbit(url);
  const channel = await connection.createChannel();
  await channel.assertExchange(name, 'topic', { durable: true });
  await channel.assertQueue(name, { durable: true });
  await channel.bindQueue(name, name, '#');
  return {
    row: { sink: name, kind: 'rabbitmq', options: { exchange: name, bytesMax: 1_000_000 } },
    env: { AMQP_URL: url },
    readAll: async () => {
      const messages: OnTheBus[] = [];
      for (;;) {
        const got = await channel.get(name, { noAck: true });
        if (!got) return messages;
        messages.push(JSON.parse(got.content.toString()) as OnTheBus);
      }
    },
    close: async () => {
      await channel.deleteQueue(name);
      await channel.deleteExchange(name);
      await connection.close();
    },
  };
}
