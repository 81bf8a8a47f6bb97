import type { AnyReaction } from '../model/reaction';
import { loadModel, loadModule, type Project } from './context';
import { CliFailure } from './failure';

/** What a project declares to happen outside. */
export interface LoadedReactions {
  readonly reactions: readonly AnyReaction[];
  /** Made from the environment, for this process. */
  readonly ports: unknown;
  readonly processesPath: string | undefined;
}

/** Loads the project's reactions. Refuses when its model leads to one: a replay loads the model, and must not meet them. */
export function loadReactions(project: Project): LoadedReactions {
  loadModel(project);
  const leaked = loadedReaction();
  if (leaked !== null) {
    throw new CliFailure(
      'reaction_in_model',
      `reaction '${leaked}' is reachable from ${project.modelFile}: a replay, which loads the model, could call it`,
      'Keep reactions in a file of their own, named in package.json, entry reprise.reactions.',
      2,
    );
  }
  if (!project.reactionsFile) return { reactions: [], ports: {}, processesPath: undefined };
  const { reactions } = loadModule<{ reactions?: readonly AnyReaction[] }>(project.reactionsFile);
  if (!reactions) {
    throw new CliFailure(
      'no_reactions',
      `${project.reactionsFile} does not export 'reactions'`,
      'export const reactions = reactions([...])',
      2,
    );
  }
  return { reactions, ports: loadPorts(project), processesPath: project.processesFile ?? undefined };
}

function loadPorts(project: Project): unknown {
  if (!project.portsFile) return {};
  const { ports } = loadModule<{ ports?: (env: NodeJS.ProcessEnv) => unknown }>(project.portsFile);
  if (ports) return ports(process.env);
  throw new CliFailure(
    'no_ports',
    `${project.portsFile} does not export 'ports'`,
    'export const ports = (env) => ({ ... })',
    2,
  );
}

/** The name of a reaction that some module loaded so far exports, or null. */
function loadedReaction(): string | null {
  for (const loaded of Object.values(require.cache)) {
    const exported = Object.values((loaded?.exports ?? {}) as Record<string, unknown>).flat();
    const found = exported.find((one) => (one as { kind?: unknown } | null)?.kind === 'reaction');
    if (found) return (found as AnyReaction).name;
  }
  return null;
}
