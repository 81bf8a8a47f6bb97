import childProcess from 'node:child_process';
import dgram from 'node:dgram';
import { Socket } from 'node:net';
import { syncBuiltinESMExports } from 'node:module';

/** Where a process may connect to. */
export interface Place {
  readonly host: string;
  readonly port: number;
}

/** Somebody tried to reach the outside from a replay. */
export class OutsideRefused extends Error {
  override readonly name = 'OutsideRefused';

  constructor(what: string) {
    super(`a replay may not reach the outside: ${what} was refused. A fold is pure; what calls out is a reaction.`);
  }
}

/**
 * From now on this process connects to `allowed` and to nothing else: PostgreSQL and Temporal. Whatever a fold imports, a
 * `fetch`, a mail or a broker's client, stands on these sockets; other processes and datagrams are refused too. It holds
 * until the process ends. Answers how many were refused so far.
 */
export function wallOff(allowed: readonly Place[], onRefused: (what: string) => void = () => undefined): () => number {
  let refused = 0;
  const refuse = (what: string): never => {
    refused += 1;
    onRefused(what);
    throw new OutsideRefused(what);
  };
  const connect = Reflect.get(Socket.prototype, 'connect') as (...args: unknown[]) => Socket;
  Socket.prototype.connect = function (this: Socket, ...args: unknown[]): Socket {
    const to = destination(args);
    if (!isAllowed(to, allowed)) return refuse(`a connection to ${'path' in to ? to.path : `${to.host}:${to.port}`}`);
    return connect.apply(this, args);
  } as typeof Socket.prototype.connect;
  dgram.Socket.prototype.send = () => refuse('a datagram');
  dgram.Socket.prototype.connect = () => refuse('a datagram');
  for (const name of ['spawn', 'spawnSync', 'exec', 'execSync', 'execFile', 'execFileSync', 'fork'] as const) {
    Object.assign(childProcess, { [name]: () => refuse(`another process (${name})`) });
  }
  syncBuiltinESMExports();
  return () => refused;
}

type Destination = { readonly path: string } | Place;

/** `connect(port, host)`, `connect(path)`, `connect({ port, host } | { path })`, or the array that `net.connect` makes of them. */
function destination(args: readonly unknown[]): Destination {
  const [first, second] = (Array.isArray(args[0]) ? args[0] : args) as readonly unknown[];
  if (typeof first === 'object' && first !== null) {
    const { path, host, port } = first as { path?: unknown; host?: unknown; port?: unknown };
    if (typeof path === 'string') return { path };
    return { host: typeof host === 'string' ? host : 'localhost', port: Number(port) };
  }
  if (typeof first === 'string' && !/^\d+$/.test(first)) return { path: first };
  return { host: typeof second === 'string' ? second : 'localhost', port: Number(first) };
}

// One machine has these names for itself.
const LOCAL = new Set(['localhost', '127.0.0.1', '::1']);
const sameHost = (a: string, b: string): boolean => a === b || (LOCAL.has(a) && LOCAL.has(b));

/** A PostgreSQL may be reached by its socket's path: `host` is then the folder. */
function isAllowed(to: Destination, allowed: readonly Place[]): boolean {
  if ('path' in to) return allowed.some(({ host, port }) => to.path === `${host}/.s.PGSQL.${port}`);
  return allowed.some((place) => sameHost(place.host, to.host) && place.port === to.port);
}

/** What a PostgreSQL address or a Temporal address (`host:port`) leads to. */
export function placeOf(address: string): Place {
  const url = new URL(address.includes('://') ? address : `tcp://${address}`);
  const socket = url.searchParams.get('host');
  const ports: Readonly<Record<string, number>> = {
    'postgres:': 5432,
    'postgresql:': 5432,
    'https:': 443,
    'tcp:': 7233,
  };
  return {
    host: socket ?? url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port ? Number(url.port) : (ports[url.protocol] ?? 7233),
  };
}
