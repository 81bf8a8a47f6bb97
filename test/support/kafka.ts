import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Kafka, logLevel } from 'kafkajs';
import { freePort } from '../../embedded/ports';
import type { Bus, OnTheBus } from './brokers';
import { until } from './until';

// The pseudo-version of kfake, and of our main.go: another one is another binary.
const KFAKE = 'kfake-01f206a7e32c-2';
const BUILD_MS_MAX = 180_000;

export interface OwnKafka {
  readonly brokers: string;
  /** With the next request that reaches the second broker, the first leads its partitions. */
  readonly moveLeaders: () => Promise<void>;
  readonly stop: () => void;
}

/** A Kafka in memory, built by Go once (about 18 s) and kept in the user's cache. */
export async function startKafka(brokers = 1): Promise<OwnKafka> {
  const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'reprise');
  const binary = join(cache, KFAKE);
  if (!existsSync(binary)) {
    mkdirSync(cache, { recursive: true });
    const options = { cwd: join(__dirname, 'kfake'), timeout: BUILD_MS_MAX };
    await promisify(execFile)('go', ['build', '-o', binary, '.'], options);
  }
  const ports: number[] = [];
  while (ports.length < brokers) ports.push(await freePort((ports.at(-1) ?? 19_091) + 1));
  const child = spawn(binary, ports.map(String), { stdio: ['ignore', 'pipe', 'inherit'] });
  let told = '';
  child.stdout.on('data', (bytes: Buffer) => (told += bytes.toString()));
  await until(() => told.includes('ready'), { what: 'kfake is up' });
  return {
    brokers: ports.map((port) => `127.0.0.1:${port}`).join(','),
    moveLeaders: async () => {
      child.kill('SIGUSR1');
      await until(() => told.includes('moving'), { what: 'kfake will move them' });
    },
    stop: () => child.kill('SIGKILL'),
  };
}

export function kafkaBus(brokers: string): Bus {
  const name = `t${randomBytes(5).toString('hex')}`;
  const kafka = new Kafka({ brokers: brokers.split(','), logLevel: logLevel.NOTHING });
  return {
    row: { sink: name, kind: 'kafka', options: { prefix: name, bytesMax: 1_000_000 } },
    env: { KAFKA_BROKERS: brokers },
    readAll: async () => {
      const admin = kafka.admin();
      await admin.connect();
      const topic = `${name}.counter`;
      const ends = await admin.fetchTopicOffsets(topic);
      await admin.disconnect();
      const total = ends.reduce((sum, { high }) => sum + Number(high), 0);
      const messages: OnTheBus[] = [];
      const consumer = kafka.consumer({ groupId: `${name}-${randomBytes(4).toString('hex')}` });
      await consumer.connect();
      await consumer.subscribe({ topic, fromBeginning: true });
      await consumer.run({
        eachMessage: ({ message }) => {
          messages.push(JSON.parse(message.value?.toString() ?? '') as OnTheBus);
          return Promise.resolve();
        },
      });
      await until(() => messages.length >= total, { what: 'all of the topic is read' });
      await consumer.disconnect();
      return messages;
    },
    close: () => Promise.resolve(),
  };
}
