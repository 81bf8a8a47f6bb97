import { fork, type ChildProcess } from 'node:child_process';
import { createWriteStream, mkdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Project } from '../context';
import { CliFailure } from '../failure';
import type { Output } from '../output';

/** Stand-ins for what the project reaches outside, each a process with a journal: `reprise effects ls`. */
export interface OutsideProcesses {
  /** Rejects when one ends by itself. */
  readonly died: Promise<never>;
  readonly stop: () => Promise<void>;
}

const READY_MS_MAX = 20_000;

/** Starts those whose variable is not set, and sets it, for the workers that come after. A real one that is named is used. */
export async function startOutside(project: Project, output: Output): Promise<OutsideProcesses> {
  const wanted = Object.entries(project.outside).filter(([variable]) => !process.env[variable]);
  const logs = join(project.dir, 'logs');
  mkdirSync(logs, { recursive: true });
  const children: ChildProcess[] = [];
  let fail: (error: unknown) => void = () => undefined;
  const died = new Promise<never>((_, reject) => (fail = reject));
  died.catch(() => undefined);
  const stop = async () => {
    fail = () => undefined;
    await Promise.all(children.map(end));
  };
  try {
    await Promise.all(
      wanted.map(async ([variable, file]) => {
        const name = basename(file, '.ts');
        const log = join(logs, `${name}.log`);
        const child = spawnOutside(project, file, log);
        children.push(child);
        process.env[variable] = await addressOf(child, name, log);
        child.once('exit', () => fail(new CliFailure('outside_died', `${name} has ended by itself`, `Read ${log}`)));
        output.note(`${name} at ${process.env[variable]}`);
      }),
    );
  } catch (error) {
    await stop();
    throw error;
  }
  return { died, stop };
}

function spawnOutside(project: Project, file: string, logFile: string): ChildProcess {
  const child = fork(file, [], {
    cwd: project.root,
    env: { ...process.env, OUTSIDE_DIR: join(project.dir, 'outside') },
    execArgv: file.endsWith('.ts') ? ['-r', require.resolve('tsx/cjs')] : [],
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    detached: true, // Ctrl-C reaches only us, and we stop in order
  });
  const log = createWriteStream(logFile, { flags: 'a' });
  child.stdout?.pipe(log, { end: false });
  child.stderr?.pipe(log, { end: false });
  log.on('error', () => undefined);
  child.once('close', () => log.end());
  return child;
}

function addressOf(child: ChildProcess, name: string, log: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const refuse = () => reject(new CliFailure('outside_not_ready', `${name} did not come up`, `Read ${log}`));
    const timer = setTimeout(refuse, READY_MS_MAX);
    child.once('message', ({ address }: { address: string }) => {
      clearTimeout(timer);
      resolve(address);
    });
    child.once('exit', refuse);
  });
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((done) => child.once('exit', done));
  child.kill('SIGTERM');
  await ended;
}
