import { execFileSync } from 'node:child_process';
import { connect } from 'amqplib';

/** Brokers that tests can reach or start, by kind; of each other one a line is said: what is missing, how to get it. */
export async function findBrokers(): Promise<{ readonly found: readonly string[]; readonly amqpUrl: string }> {
  const amqpUrl = process.env['AMQP_URL'] ?? 'amqp://guest:guest@127.0.0.1:5672';
  const checks: readonly (readonly [kind: string, there: boolean, how: string])[] = [
    ['nats', hasProgram('nats-server'), 'no nats-server on PATH (Debian: apt-get install nats-server)'],
    ['rabbitmq', await answers(amqpUrl), 'no RabbitMQ at AMQP_URL or on this host (Debian: rabbitmq-server)'],
    ['kafka', hasProgram('go'), 'no Go 1.26, which builds the stand-in for Kafka (https://go.dev/dl)'],
  ];
  for (const [kind, there, how] of checks) if (!there) process.stderr.write(`skipped: tests of ${kind}: ${how}\n`);
  return { found: checks.filter(([, there]) => there).map(([kind]) => kind), amqpUrl };
}

function hasProgram(name: string): boolean {
  try {
    execFileSync('sh', ['-c', `command -v ${name}`], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

async function answers(url: string): Promise<boolean> {
  try {
    const connection = await connect(url, { timeout: 2_000 });
    await connection.close();
    return true;
  } catch {
    return false;
  }
}
