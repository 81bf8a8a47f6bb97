import { fork, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { until } from './until';

/** A TypeScript file as a process of its own: to be killed, stopped and continued. */
export interface Child {
  readonly process: ChildProcess;
  /** Messages it has sent, oldest first. */
  readonly messages: readonly unknown[];
  readonly ended: () => boolean;
  readonly kill: () => Promise<void>;
}

export function startChild(file: string, env: Readonly<Record<string, string>>): Child {
  const child = fork(join(__dirname, file), [], {
    env: { ...process.env, ...env },
    execArgv: ['-r', 'tsx/cjs'],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const messages: unknown[] = [];
  child.on('message', (message) => messages.push(message));
  const ended = () => child.exitCode !== null || child.signalCode !== null;
  return {
    process: child,
    messages,
    ended,
    kill: async () => {
      child.kill('SIGKILL');
      await until(ended, { what: 'the child is gone' });
    },
  };
}
