import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** What runs, for scripts: `.reprise/endpoints.json`. Its fields are stable. */
export interface Endpoints {
  /** The owner's login, with its password. */
  readonly databaseUrl: string;
  readonly temporalAddress: string;
  readonly temporalNamespace: string;
  readonly temporalUi: string | null;
  /** Addresses of Prometheus metrics, by worker: `entity`, `consumers`. */
  readonly metrics: Readonly<Record<string, string>>;
  /** What `reprise start` made itself; the rest was configured. */
  readonly owns: { readonly database: boolean; readonly temporal: boolean };
  /** Of `reprise start`. */
  readonly pid: number;
  readonly startedAt: string;
}

const fileIn = (dir: string): string => join(dir, 'endpoints.json');

/** Whole or not at all, and readable by its owner only: it holds a password. */
export function writeEndpoints(dir: string, endpoints: Endpoints): void {
  const partial = `${fileIn(dir)}.${process.pid}`;
  writeFileSync(partial, `${JSON.stringify(endpoints, null, 2)}\n`, { mode: 0o600 });
  renameSync(partial, fileIn(dir));
}

/** Null when nothing was written, or what is there is not readable as endpoints. */
export function readEndpoints(dir: string): Endpoints | null {
  try {
    const endpoints = JSON.parse(readFileSync(fileIn(dir), 'utf8')) as Partial<Endpoints>;
    return typeof endpoints.databaseUrl === 'string' ? (endpoints as Endpoints) : null;
  } catch {
    return null;
  }
}

/** Where a worker of ours, new or started again, tells its figures. */
export function addMetrics(dir: string, role: string, address: string): void {
  const endpoints = readEndpoints(dir);
  if (endpoints?.pid !== process.pid) return;
  writeEndpoints(dir, { ...endpoints, metrics: { ...endpoints.metrics, [role]: address } });
}

/** Only what this process wrote. */
export function removeEndpoints(dir: string): void {
  if (readEndpoints(dir)?.pid === process.pid) rmSync(fileIn(dir), { force: true });
}
