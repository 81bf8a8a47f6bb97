import { createRequire } from 'node:module';
import { bundleWorkflowCode, DefaultLogger, type WorkflowBundle } from '@temporalio/worker';
import type { AnyReaction } from '../model/reaction';

/** A project's file of processes cannot be a workflow bundle. */
export class ProcessesRefused extends Error {
  override readonly name = 'ProcessesRefused';
}

/**
 * The workflows of a project's processes; null when it has none. Throws `ProcessesRefused` for a file that imports what Node
 * has (a workflow must do the same every time it is replayed), or that lacks one of them.
 */
export async function bundleProcesses(
  reactions: readonly AnyReaction[],
  path: string | undefined,
): Promise<WorkflowBundle | null> {
  const workflows = reactions.flatMap(({ process }) => process?.workflow ?? []);
  const [first] = workflows;
  if (first === undefined) return null;
  if (!path) {
    throw new ProcessesRefused(
      `'${first}' is a process: name the file that exports it in package.json, reprise.processes`,
    );
  }
  const said: string[] = [];
  const logger = new DefaultLogger('WARN', ({ message }) => said.push(message));
  const interceptors = [require.resolve('../workflows/process-end')];
  const bundle = await bundleWorkflowCode({
    workflowsPath: path,
    workflowInterceptorModules: interceptors,
    logger,
  }).catch((cause: Error) => {
    throw new ProcessesRefused(`${path} cannot be a workflow: ${reasonIn([cause.message, ...said])}`, { cause });
  });
  const exported = createRequire(__filename)(path) as Record<string, unknown>;
  const missing = workflows.find((name) => typeof exported[name] !== 'function');
  if (missing !== undefined) throw new ProcessesRefused(`${path} does not export '${missing}'`);
  return bundle;
}

const TEXT_MAX = 300;

/** The bundler tells what it found in its log, and that it found something in its error. */
function reasonIn(texts: readonly string[]): string {
  const builtin = texts
    .map((text) => /(?:ERROR in |disallowed modules[^']*')(node:[a-z/_]+|[a-z_]+)/.exec(text)?.[1])
    .find(Boolean);
  if (builtin) return `it imports ${builtin}, which belongs to Node; reach the outside in a step`;
  return (texts.find((text) => text.includes('ERROR')) ?? texts[0] ?? '').slice(0, TEXT_MAX);
}
