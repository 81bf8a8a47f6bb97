import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, sep } from 'node:path';
import type { Model } from '../model/model';
import type { Projection } from '../model/projection';
import type { Project } from './context';

/** What a projection was when somebody last said that its version is right. */
export interface LockedFold {
  readonly version: number;
  /** SHA-256 of the file that declares it and of what that imports, without white space. */
  readonly source: string;
}

export type FoldLock = Readonly<Record<string, LockedFold>>;

/** Beside the model, to be committed. */
export const lockFileOf = (project: Project): string => join(dirname(project.modelFile), 'projections.lock.json');

export function readLock(file: string): FoldLock {
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as FoldLock) : {};
}

export function writeLock(file: string, lock: FoldLock): void {
  writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
}

/** The folds as they are now. The model has been loaded: its modules are asked what they export and import. */
export function foldsOf(project: Project, model: Model): FoldLock {
  const folder = dirname(project.modelFile) + sep;
  return Object.fromEntries(
    [...model.projections]
      .sort((a, b) => (a.name < b.name ? -1 : 1))
      .map((projection) => [projection.name, { version: projection.version, source: sourceOf(projection, folder) }]),
  );
}

/** Where source and version disagree with the lock, each in a sentence with what to do. */
export function whatChanged(locked: FoldLock, now: FoldLock): string[] {
  const names = [...new Set([...Object.keys(locked), ...Object.keys(now)])].sort();
  return names.flatMap((name) => {
    const [was, is] = [locked[name], now[name]];
    if (!was) return `${name} is not in the lock`;
    if (!is) return `${name} is in the lock and not in the model`;
    if (is.version < was.version) return `${name} went back from version ${was.version} to ${is.version}`;
    if (is.version > was.version) return `${name} has version ${is.version}, the lock has ${was.version}`;
    if (is.source === was.source) return [];
    return `the source of ${name} changed and its version (${is.version}) did not: raise it if any row could come out otherwise`;
  });
}

function sourceOf(projection: Projection, folder: string): string {
  const files = new Set<string>();
  for (const loaded of Object.values(require.cache)) {
    if (loaded && isOfModel(loaded.filename, folder) && declares(loaded, projection)) gather(loaded, folder, files);
  }
  const hash = createHash('sha256');
  for (const file of [...files].sort()) {
    hash.update(`${file.slice(folder.length).replaceAll(sep, '/')}\n`);
    hash.update(readFileSync(file, 'utf8').replaceAll(/\s+/g, ' '));
  }
  return hash.digest('hex');
}

/** The module that made it, not those that pass it on. */
function declares(loaded: NodeJS.Module, projection: Projection): boolean {
  if (!exportsOf(loaded).includes(projection)) return false;
  return !loaded.children.some((child) => exportsOf(child).includes(projection));
}

const exportsOf = (loaded: NodeJS.Module): unknown[] =>
  Object.values((loaded.exports ?? {}) as Record<string, unknown>).flat();

/** With everything of the model's folder that it imports: a fold may stand on a function of another file. */
function gather(loaded: NodeJS.Module, folder: string, files: Set<string>): void {
  if (!isOfModel(loaded.filename, folder) || files.has(loaded.filename)) return;
  files.add(loaded.filename);
  for (const child of loaded.children) gather(child, folder, files);
}

const isOfModel = (file: string, folder: string): boolean =>
  file.startsWith(folder) && !file.includes(`${sep}node_modules${sep}`);
