import { CliFailure } from './failure';

export interface MetricsPlace {
  readonly host: string;
  readonly port: number;
  readonly portsAfter: number;
}

// Several workers on one machine stand side by side from here on.
const PORT_DEFAULT = 9464;
const PORTS_AFTER_DEFAULT = 99;

/** Where a worker's figures are told. A port that is named is that one or a failure: somebody scrapes it. */
export function metricsPlace(env: NodeJS.ProcessEnv): MetricsPlace {
  const host = env['REPRISE_METRICS_HOST'] || '127.0.0.1';
  const named = env['REPRISE_METRICS_PORT'];
  if (!named) return { host, port: PORT_DEFAULT, portsAfter: PORTS_AFTER_DEFAULT };
  return { host, port: toPort(named), portsAfter: 0 };
}

/** For the nth worker of `reprise start`: any free port, or one after the other from the one that is named. */
export function metricsPortOf(nth: number, env: NodeJS.ProcessEnv): string {
  const first = toPort(env['REPRISE_METRICS_PORT'] || '0');
  return String(first === 0 ? 0 : first + nth);
}

function toPort(text: string): number {
  const port = Number(text);
  if (/^\d+$/.test(text) && port < 65_536) return port;
  throw new CliFailure('usage', `REPRISE_METRICS_PORT is '${text}', not a port`, 'Use 0 for any free port.', 2);
}
