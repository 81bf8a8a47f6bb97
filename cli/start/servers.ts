import { join } from 'node:path';
import { removeEndpoints, writeEndpoints } from '../../embedded/endpoints';
import { startPostgres, type RunningPostgres } from '../../embedded/postgres';
import { startTemporal, type RunningTemporal } from '../../embedded/temporal';
import { temporalConfig } from '../../embedded/temporal-connection';
import { isAlive } from '../../embedded/process';
import type { Project } from '../context';
import { CliFailure } from '../failure';
import type { Output } from '../output';

/** PostgreSQL and Temporal: our own, or configured ones that are left as they are. */
export interface Servers {
  readonly databaseUrl: string;
  readonly temporalAddress: string;
  readonly temporalUi: string | null;
  /** Rejects when a server of ours ends by itself. */
  readonly died: Promise<never>;
  /** Temporal first: its workflows use PostgreSQL. Only what we started. */
  readonly stop: () => Promise<void>;
}

/** Names of what would not be ours: the database, the namespace. */
export function configuredNames(): string[] {
  const database = process.env['DATABASE_URL'];
  const temporal = temporalConfig();
  return [
    ...(database ? [decodeURIComponent(new URL(database).pathname.slice(1))] : []),
    ...(temporal.configured ? [temporal.namespace] : []),
  ];
}

/** Brings both up, at once, and writes what is running to `.reprise/endpoints.json`. */
export async function bringUp(project: Project, output: Output): Promise<Servers> {
  const started: { postgres?: RunningPostgres; temporal?: RunningTemporal } = {};
  const watch = new AbortController();
  const stop = async () => {
    watch.abort();
    try {
      await started.temporal?.stop();
    } finally {
      await started.postgres?.stop();
      removeEndpoints(project.dir);
    }
  };
  try {
    const log = (line: string) => output.note(line);
    const configured = temporalConfig();
    const bothUp = await Promise.allSettled([
      process.env['DATABASE_URL']
        ? Promise.resolve(undefined)
        : startPostgres({ dir: join(project.dir, 'postgres'), log }).then((server) => {
            started.postgres = server;
          }),
      configured.configured
        ? Promise.resolve(undefined)
        : startTemporal({ dir: join(project.dir, 'temporal'), log }).then((server) => {
            started.temporal = server;
          }),
    ]);
    for (const one of bothUp) if (one.status === 'rejected') throw one.reason;
    return { ...record(project, started), died: watchServers(project, started, watch.signal), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

const WATCH_EVERY_MS = 1_000;

function watchServers(
  project: Project,
  { postgres, temporal }: { postgres?: RunningPostgres; temporal?: RunningTemporal },
  signal: AbortSignal,
): Promise<never> {
  const servers = [
    { what: 'PostgreSQL', pid: postgres?.pid, log: join(project.dir, 'postgres', 'postgres.log') },
    { what: 'Temporal', pid: temporal?.pid, log: join(project.dir, 'temporal', 'temporal.log') },
  ];
  const died = new Promise<never>((_, reject) => {
    const timer = setInterval(() => {
      const dead = servers.find(({ pid }) => pid !== undefined && !isAlive(pid));
      if (dead) reject(new CliFailure('server_died', `${dead.what} has ended by itself`, `Read ${dead.log}`));
    }, WATCH_EVERY_MS);
    signal.addEventListener('abort', () => clearInterval(timer));
  });
  died.catch(() => undefined);
  return died;
}

function record(
  project: Project,
  { postgres, temporal }: { postgres?: RunningPostgres; temporal?: RunningTemporal },
): Omit<Servers, 'stop' | 'died'> {
  const configured = temporalConfig();
  const databaseUrl = postgres?.url ?? process.env['DATABASE_URL'] ?? '';
  const temporalAddress = temporal?.address ?? configured.options.address ?? '';
  const temporalNamespace = temporal?.namespace ?? configured.namespace;
  const temporalUi = temporal?.uiUrl ?? null;
  writeEndpoints(project.dir, {
    databaseUrl,
    temporalAddress,
    temporalNamespace,
    temporalUi,
    metrics: {},
    owns: { database: postgres !== undefined, temporal: temporal !== undefined },
    pid: process.pid,
    startedAt: new Date().toISOString(),
  });
  return { databaseUrl, temporalAddress, temporalUi };
}
