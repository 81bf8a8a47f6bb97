import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import type { ConnectionOptions } from '@temporalio/client';
import { roleUrl, type Role } from '../db/urls';
import { readEndpoints } from '../embedded/endpoints';
import { temporalConfig } from '../embedded/temporal-connection';
import type { Model } from '../model/model';
import { CliFailure } from './failure';

/** Where things are: from the environment, else what `reprise start` left in `.reprise/endpoints.json`. */
export interface Context {
  readonly project: Project;
  /** The owner's login. */
  readonly databaseUrl: string;
  /** The database was made by `reprise start`, so its logins can be derived. */
  readonly ownsDatabase: boolean;
  readonly ownsTemporal: boolean;
  readonly urlOf: (role: Role) => string;
  readonly temporal: { readonly connection: ConnectionOptions; readonly namespace: string };
  readonly temporalUi: string | null;
  readonly idPrefix: string;
}

/** A project that uses Reprise: the folder of the nearest package.json with a `reprise` entry. */
export interface Project {
  readonly root: string;
  /** `.reprise` in it: what `reprise start` keeps. */
  readonly dir: string;
  readonly modelFile: string;
  /** Played by `reprise start`, when there is one. */
  readonly demoFile: string | null;
  /** Side effects and processes; null: the project has none. */
  readonly reactionsFile: string | null;
  /** Workflows of those that are processes. */
  readonly processesFile: string | null;
  /** What reactions reach the outside by. */
  readonly portsFile: string | null;
  /** Ways for history from elsewhere into the log; null: the project has none. */
  readonly backfillsFile: string | null;
  /** Stand-ins for the outside, run by `reprise start`: by the variable that would name the real one. */
  readonly outside: Readonly<Record<string, string>>;
}

interface Manifest {
  readonly reprise?: {
    readonly model?: string;
    readonly demo?: string;
    readonly reactions?: string;
    readonly processes?: string;
    readonly ports?: string;
    readonly backfills?: string;
    readonly outside?: Readonly<Record<string, string>>;
  };
}

/** Finds the project from the current folder upwards. */
export function findProject(from: string = process.cwd()): Project {
  for (let folder = resolve(from); ; folder = dirname(folder)) {
    const file = join(folder, 'package.json');
    const manifest = existsSync(file) ? readManifest(file) : {};
    if (manifest.reprise?.model) {
      const { model, demo, reactions, processes, ports, backfills, outside = {} } = manifest.reprise;
      const file = (path: string | undefined) => (path ? resolve(folder, path) : null);
      return {
        root: folder,
        dir: join(folder, '.reprise'),
        modelFile: resolve(folder, model),
        demoFile: file(demo),
        reactionsFile: file(reactions),
        processesFile: file(processes),
        portsFile: file(ports),
        backfillsFile: file(backfills),
        outside: Object.fromEntries(Object.entries(outside).map(([name, path]) => [name, resolve(folder, path)])),
      };
    }
    if (dirname(folder) === folder) {
      throw new CliFailure(
        'no_project',
        `no package.json with a 'reprise' entry in ${resolve(from)} or above`,
        'Add "reprise": { "model": "./model.ts" } to your package.json, and export `model` from that file.',
        2,
      );
    }
  }
}

function readManifest(file: string): Manifest {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Manifest;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new CliFailure('bad_config', `${file} cannot be read: ${why}`, 'Correct it, and try again.', 2);
  }
}

/** The model a project declares: the export `model` of its model file. */
export function loadModel(project: Project): Model {
  const { model } = loadModule<{ model?: Model }>(project.modelFile);
  if (model) return model;
  throw new CliFailure(
    'no_model',
    `${project.modelFile} does not export 'model'`,
    'export const model = model({ entities: [...] })',
    2,
  );
}

export function loadModule<T>(file: string): T {
  if (!existsSync(file))
    throw new CliFailure('no_file', `${file} does not exist`, 'Correct the path in package.json, entry reprise.', 2);
  return createRequire(__filename)(file) as T;
}

/** Resolves a running system, or says how to get one. */
export function findContext(project: Project = findProject()): Context {
  const endpoints = readEndpoints(project.dir);
  const databaseUrl = process.env['DATABASE_URL'] || endpoints?.databaseUrl;
  if (!databaseUrl) {
    throw new CliFailure(
      'nothing_running',
      'DATABASE_URL is not set and nothing runs here',
      "Run 'reprise start' in another terminal, or set DATABASE_URL and TEMPORAL_ADDRESS.",
    );
  }
  checkDatabaseUrls();
  const ownsDatabase = !process.env['DATABASE_URL'] && (endpoints?.owns.database ?? false);
  const configured = temporalConfig();
  const fromEndpoints = !configured.configured && endpoints !== null;
  return {
    project,
    databaseUrl,
    ownsDatabase,
    ownsTemporal: fromEndpoints && endpoints.owns.temporal,
    urlOf: (role) => roleUrl(role, process.env, { url: databaseUrl, owned: ownsDatabase }).url,
    temporal: fromEndpoints
      ? { connection: { address: endpoints.temporalAddress }, namespace: endpoints.temporalNamespace }
      : { connection: configured.options, namespace: configured.namespace },
    temporalUi: fromEndpoints ? endpoints.temporalUi : null,
    idPrefix: process.env['REPRISE_WORKFLOW_ID_PREFIX'] ?? '',
  };
}

/** Otherwise a mistyped one is a host that is not found. Never shown: it holds a password. */
export function checkDatabaseUrls(): void {
  const set = Object.keys(process.env).filter((name) => /^DATABASE_URL(_|$)/.test(name) && process.env[name]);
  const bad = set.filter(
    (name) => !/^postgres(ql)?:\/\/./.test(process.env[name] ?? '') || !URL.canParse(process.env[name] ?? ''),
  );
  if (bad.length === 0) return;
  throw new CliFailure(
    'bad_config',
    `${bad.join(', ')}: not the address of a PostgreSQL database`,
    'Like postgres://user:password@host:5432/database',
    2,
  );
}
