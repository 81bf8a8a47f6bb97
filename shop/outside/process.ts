import type { AddressInfo, Server } from 'node:net';

const LOOPBACK = '127.0.0.1';

interface Service {
  readonly name: string;
  readonly server: Server;
  /** `http` or `smtp`. */
  readonly scheme: string;
  /** The variable by which workers learn its address. */
  readonly variable: string;
  readonly close: () => void;
}

/**
 * Runs a service in this process, on loopback only: at --port, or started by hand at PORT, else at a free port. Tells its
 * parent `{ address, variable }`, or says so on stdout; ends with SIGTERM, Ctrl-C, or its parent.
 */
export function runService({ name, server, scheme, variable, close }: Service): void {
  const port = askedPort(name, process.argv, process.env);
  const end = () => {
    close();
    process.exit(0);
  };
  for (const signal of ['SIGTERM', 'SIGINT', 'disconnect'] as const) process.once(signal, end);
  server.once('error', (error) => fail(name, error.message));
  server.listen(port, LOOPBACK, () => {
    const address = `${scheme}://${LOOPBACK}:${(server.address() as AddressInfo).port}`;
    if (process.send) process.send({ address, variable });
    else process.stdout.write(`${name}: ${variable}=${address}\n`);
  });
}

function askedPort(name: string, argv: readonly string[], env: NodeJS.ProcessEnv): number {
  const at = argv.indexOf('--port');
  // A parent's PORT is the parent's own, and several services would want it.
  const text = (at >= 0 ? argv[at + 1] : process.send ? undefined : env['PORT']) ?? '0';
  const port = Number(text || 0);
  if (!/^\d*$/.test(text) || port > 65_535) fail(name, `port '${text}' is not a whole number from 0 to 65535`);
  return port;
}

function fail(name: string, message: string): never {
  process.stderr.write(`${name}: ${message}\n`);
  process.exit(1);
}

/** A whole number, or a fraction, that a variable may set. Throws, naming it, for what is none. */
export function numberFrom(env: NodeJS.ProcessEnv, variable: string, otherwise: number): number {
  const text = env[variable];
  if (!text) return otherwise;
  const value = Number(text);
  if (Number.isFinite(value) && value >= 0) return value;
  throw new Error(`${variable} is '${text}', not a number from 0`);
}
