import { execFile, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { promisify } from 'node:util';

const CLI_VERSION = '1.5.1';
const SERVER_MIN = [1, 29] as const;
const MODULE = `github.com/temporalio/cli/cmd/temporal@v${CLI_VERSION}`;
const DOWNLOAD_MS_MAX = 120_000;
const BUILD_MS_MAX = 20 * 60_000;
const PROGRESS_MS = 10_000;

const run = promisify(execFile);

type Log = (line: string) => void;
/** A way to a binary: its path, or why this way leads nowhere. */
type Way = (log: Log) => Promise<{ readonly path: string } | { readonly why: string }>;

/** A `temporal` binary with a server that is new enough: the first way that leads to one. Throws one error naming all. */
export async function findTemporalCli(log: Log = () => undefined): Promise<string> {
  const ways: readonly (readonly [string, Way])[] = [
    ['TEMPORAL_CLI', fromVariable],
    ['temporal on PATH', fromPath],
    [`the cache (${cacheFolder()})`, fromCache],
    ["the SDK's download", fromDownload],
    ['a build with Go', fromGo],
  ];
  const reasons: string[] = [];
  for (const [name, way] of ways) {
    const found = await way(log).catch((error: unknown) => ({ why: messageOf(error) }));
    const why = 'path' in found ? await tooOld(found.path) : found.why;
    if ('path' in found && why === null) return found.path;
    reasons.push(`${name}: ${why}`);
  }
  throw new Error(
    `no Temporal server to start. Tried: ${reasons.join('; ')}. Do one of these: install the Temporal CLI ` +
      `(https://docs.temporal.io/cli) or Go, set TEMPORAL_CLI to its path, point REPRISE_CACHE to a folder that can be written, or set TEMPORAL_ADDRESS to a ` +
      `server of yours.`,
  );
}

const fromVariable: Way = () => {
  const set = process.env['TEMPORAL_CLI'];
  if (!set) return Promise.resolve({ why: 'not set' });
  const path = resolve(set); // it is started in another folder
  return Promise.resolve(existsSync(path) ? { path } : { why: `${path} does not exist` });
};

const fromPath: Way = () => {
  const folders = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
  const path = folders.map((folder) => resolve(folder, 'temporal')).find((file) => existsSync(file));
  return Promise.resolve(path ? { path } : { why: 'not there' });
};

const fromCache: Way = () => {
  const path = join(cacheFolder(), 'temporal');
  return Promise.resolve(existsSync(path) ? { path } : { why: 'empty' });
};

/** What the SDK does for its test server, in a process of its own. Downloaded aside and renamed into the cache. */
const fromDownload: Way = async (log) => {
  mkdirSync(cacheFolder(), { recursive: true });
  const aside = mkdtempSync(join(cacheFolder(), 'download-'));
  log('looking for a Temporal server to download');
  try {
    // The SDK also starts it, with 5 s to answer: the file may be good when that fails.
    await run(process.execPath, ['-e', DOWNLOAD_SCRIPT, aside], { timeout: DOWNLOAD_MS_MAX, cwd: __dirname }).catch(
      () => undefined,
    );
    const file = readdirSync(aside).find((name) => name.startsWith('temporal') && !name.endsWith('.downloading'));
    if (!file) return { why: 'it failed (no way to the download server?)' };
    const why = await tooOld(join(aside, file));
    if (why !== null) return { why };
    renameSync(join(aside, file), join(cacheFolder(), 'temporal'));
    return { path: join(cacheFolder(), 'temporal') };
  } finally {
    rmSync(aside, { recursive: true, force: true });
  }
};

const DOWNLOAD_SCRIPT = `
  const { Runtime } = require('@temporalio/worker');
  const exe = { type: 'cached-download', downloadDir: process.argv[1], version: 'v${CLI_VERSION}', ttl: 0, sdkName: 'sdk-typescript', sdkVersion: 'default' };
  const { native } = require('@temporalio/core-bridge');
  Runtime.instance().createEphemeralServer({ type: 'dev-server', exe, namespace: 'default', ip: '127.0.0.1', port: null, uiPort: null, dbFilename: null, ui: false, log: { format: 'text', level: 'error' }, extraArgs: [] })
    .then((server) => native.ephemeralServerShutdown(server))
    .then(() => process.exit(0), () => process.exit(1));
`;

/** About 3 minutes on two cores, once per machine. Built aside and renamed, so that two builders do no harm. */
const fromGo: Way = async (log) => {
  if (!(await run('go', ['version']).catch(() => null))) return { why: 'Go is not installed' };
  mkdirSync(cacheFolder(), { recursive: true });
  const aside = mkdtempSync(join(cacheFolder(), 'build-'));
  const startedAt = Date.now();
  const seconds = () => Math.round((Date.now() - startedAt) / 1000);
  log(`building the Temporal server with Go, once: about 3 minutes`);
  const progress = setInterval(() => log(`building the Temporal server: ${seconds()} s`), PROGRESS_MS);
  try {
    await build(aside);
    renameSync(join(aside, 'temporal'), join(cacheFolder(), 'temporal'));
    log(`built the Temporal server in ${seconds()} s`);
    return { path: join(cacheFolder(), 'temporal') };
  } catch (error) {
    return { why: messageOf(error) };
  } finally {
    clearInterval(progress);
    rmSync(aside, { recursive: true, force: true });
  }
};

function build(folder: string): Promise<void> {
  return new Promise((done, reject) => {
    const child = spawn('go', ['install', MODULE], {
      env: { ...process.env, GOBIN: folder },
      stdio: ['ignore', 'ignore', 'pipe'],
      timeout: BUILD_MS_MAX,
    });
    let last = '';
    child.stderr.on('data', (chunk: Buffer) => (last = chunk.toString().trim().split('\n').at(-1) ?? last));
    child.once('error', reject);
    child.once('exit', (code, signal) =>
      code === 0 ? done() : reject(new Error(`go install failed (${code ?? signal}): ${last}`)),
    );
  });
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Why a binary cannot be used, or null. */
async function tooOld(path: string): Promise<string | null> {
  try {
    const { stdout } = await run(path, ['--version'], { timeout: 20_000 });
    const [, major = 0, minor = 0] = (/Server (\d+)\.(\d+)/.exec(stdout) ?? []).map(Number);
    const [minMajor, minMinor] = SERVER_MIN;
    const enough = major > minMajor || (major === minMajor && minor >= minMinor);
    return enough ? null : `${path} has server ${major}.${minor}, ${minMajor}.${minMinor} is needed`;
  } catch {
    return `${path} does not run`;
  }
}

/** Outside the checkout, so that every checkout of a machine shares one build. `REPRISE_CACHE` moves it. */
export function cacheFolder(): string {
  const base =
    process.env['REPRISE_CACHE'] ?? join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'reprise');
  return join(base, `temporal-${CLI_VERSION}`);
}
