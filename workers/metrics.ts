import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Registry } from 'prom-client';
import type { CommitWatch } from '../activities/commit';
import type { ConsumerWatch } from '../activities/watch';
import { openPool } from '../db/pool';
import { watchCommits } from './metrics/of-commits';
import { watchConsumers } from './metrics/of-consumers';
import { gaugesOfTables } from './metrics/of-tables';

export interface MetricsOptions {
  /** Login `reprise_read`: the tables' figures are of every consumer, not of one role's own. */
  readonly databaseUrl: string;
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** How many ports after it are tried when it is taken. Default 0: that one or none. */
  readonly portsAfter?: number;
}

/** The figures of one worker process. Metrics that it never moves are not shown. */
export interface Metrics {
  /** Where Prometheus asks: `http://127.0.0.1:9464/metrics`. */
  readonly address: string;
  readonly ofCommits: () => CommitWatch;
  readonly ofConsumers: () => (consumer: string) => ConsumerWatch;
  readonly close: () => Promise<void>;
}

// Less than Prometheus waits for an answer (10 s): a database that is away is a figure too.
const DATABASE_MS_MAX = 3_000;

/** Answers GET /metrics and GET /health until closed. */
export async function serveMetrics({ databaseUrl, host, port, portsAfter = 0 }: MetricsOptions): Promise<Metrics> {
  const registry = new Registry();
  const db = openPool({
    url: databaseUrl,
    max: 1,
    applicationName: 'reprise-metrics',
    answerMsMax: DATABASE_MS_MAX,
  });
  const lookAtTables = gaugesOfTables(registry, db);
  const server = createServer((request, response) => {
    const path = request.method === 'GET' ? request.url?.split('?')[0] : undefined;
    if (path === '/metrics') void tellMetrics(response);
    else if (path === '/health') end(response, 200, 'ok\n');
    else end(response, 404, 'there are /metrics and /health\n');
  });
  try {
    await listen(server, host, port, portsAfter);
  } catch (error) {
    await db.end();
    throw error;
  }
  server.unref();
  return {
    address: `http://${hostToAsk(host)}:${(server.address() as AddressInfo).port}/metrics`,
    ofCommits: () => watchCommits(registry),
    ofConsumers: () => watchConsumers(registry),
    close: async () => {
      const closed = new Promise((done) => server.close(done));
      server.closeAllConnections();
      await closed;
      await db.end();
    },
  };

  async function tellMetrics(response: ServerResponse): Promise<void> {
    try {
      await lookAtTables();
      response.setHeader('content-type', registry.contentType);
      end(response, 200, await registry.metrics());
    } catch {
      end(response, 500, 'the figures could not be collected\n');
    }
  }
}

function end(response: ServerResponse, status: number, text: string): void {
  response.statusCode = status;
  response.end(text);
}

async function listen(server: Server, host: string, port: number, portsAfter: number): Promise<void> {
  for (let nth = 0; ; nth++) {
    try {
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen({ host, port: port + nth, exclusive: true }, () => {
          server.off('error', reject);
          resolve();
        });
      });
      return;
    } catch (error) {
      server.removeAllListeners('error');
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE' || nth >= portsAfter) throw error;
    }
  }
}

/** One that listens everywhere is asked on the loopback address. */
function hostToAsk(host: string): string {
  if (host === '0.0.0.0' || host === '::') return '127.0.0.1';
  return host.includes(':') ? `[${host}]` : host;
}
