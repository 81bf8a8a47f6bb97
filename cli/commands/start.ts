import { checkDatabaseUrls, findProject, loadModule, type Project } from '../context';
import { CliFailure } from '../failure';
import type { Output } from '../output';
import { playDemo, type Demo } from '../start/demo';
import { keepAlone } from '../start/keep-alone';
import { startOutside, type OutsideProcesses } from '../start/outside';
import { prepare } from '../start/prepare';
import { bringUp, configuredNames, type Servers } from '../start/servers';
import { startWorkers, type WorkerProcesses } from '../start/worker-processes';

/** Everything in one line: servers, tables, workers, the demo; then up until Ctrl-C, and down in the reverse order. */
export async function start(output: Output, _args: readonly string[], options: Record<string, unknown>): Promise<void> {
  const project = findProject();
  checkDatabaseUrls();
  const demo = demoToPlay(project, output, options);
  const unlock = keepAlone(project.dir);
  const stop = listenForStop(output);
  const running: { servers?: Servers; outside?: OutsideProcesses; workers?: WorkerProcesses } = {};
  try {
    running.servers = await bringUp(project, output);
    if (stop.signal.aborted) return;
    await prepare(project, output);
    if (stop.signal.aborted) return;
    setDefaults(demo?.env ?? {});
    running.outside = await startOutside(project, output);
    running.workers = await startWorkers(project, output);
    const failed = Promise.race([running.workers.failed, running.servers.died, running.outside.died]);
    if (demo && !stop.signal.aborted) {
      await Promise.race([failed, playDemo(demo, project, running.servers, output, stop.signal)]);
    }
    if (options['exit'] === true) return;
    output.note('Up. Ctrl-C stops workers, then Temporal, then PostgreSQL; the data stays in .reprise.');
    await Promise.race([stop.asked, failed]);
  } finally {
    stop.beginStopping();
    try {
      await running.workers?.stop();
    } finally {
      await running.outside?.stop();
      await running.servers?.stop();
      unlock();
    }
  }
}

/** Demo data goes only into what we started ourselves, or into what is named by its name. */
function demoToPlay(project: Project, output: Output, options: Record<string, unknown>): Demo | null {
  if (!project.demoFile || options['demo'] === false) return null;
  const foreign = configuredNames();
  const into = options['demoInto'] as string | undefined;
  const allowed = foreign.every((name) => into?.split(',').includes(name));
  if (!allowed && into !== undefined) {
    throw new CliFailure('usage', `--demo-into ${into} is not what is configured: ${foreign.join(', ')}`, undefined, 2);
  }
  if (!allowed) {
    output.note(
      `the demo is not played into what is configured; --demo-into ${foreign.join(',')} does, --no-demo is silent`,
    );
    return null;
  }
  return loadModule<{ demo?: Demo }>(project.demoFile).demo ?? null;
}

/** What a demo wants shorter or smaller than production has it; what is set already stays. */
function setDefaults(env: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(env)) process.env[name] ||= value;
}

interface Stop {
  readonly signal: AbortSignal;
  /** Resolves at the first SIGINT or SIGTERM. */
  readonly asked: Promise<void>;
  /** From now on a signal only says that it is being done. */
  readonly beginStopping: () => void;
}

function listenForStop(output: Output): Stop {
  const abort = new AbortController();
  const asked = new Promise<void>((resolve) => {
    abort.signal.addEventListener('abort', () => resolve(), { once: true });
  });
  let stopping = false;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      output.note(stopping || abort.signal.aborted ? 'stopping: what is under way is being finished' : 'stopping');
      abort.abort();
    });
  }
  // Whoever read our output is gone (`npm start | head`, a closed terminal): the servers must not be left behind.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => abort.abort());
  return { signal: abort.signal, asked, beginStopping: () => (stopping = true) };
}
