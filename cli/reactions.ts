import { ensureCheckpoints } from '../db/checkpoints';
import { openPool } from '../db/pool';
import { sep } from 'node:path';
import type { AnyReaction } from '../model/reaction';
import { reactionConsumer } from '../workflows/names';
import { loadModel, loadModule, type Project } from './context';
import { CliFailure } from './failure';

/** What a project declares to happen outside. */
export interface LoadedReactions {
  readonly reactions: readonly AnyReaction[];
  /** Made from the environment, for this process. */
  readonly ports: unknown;
  readonly processesPath: string | undefined;
}

/** Declares them where a deploy brings its tables up: a new one begins with what is committed from then on. */
export async function declareReactions(project: Project, databaseUrl: string): Promise<void> {
  const list = loadReactionList(project);
  if (list.length === 0) return;
  const db = openPool({ url: databaseUrl, max: 1, applicationName: 'reprise-migrate' });
  try {
    for (const { name, from } of list) await ensureCheckpoints(db, reactionConsumer(name), from);
  } finally {
    await db.end();
  }
}

/** Loads the project's reactions with what they reach the outside by. */
export function loadReactions(project: Project): LoadedReactions {
  const reactions = loadReactionList(project);
  const processesPath = project.processesFile ?? undefined;
  return { reactions, ports: reactions.length > 0 ? loadPorts(project) : {}, processesPath };
}

// Files of reactions that were loaded here, behind their model: from then on they are there, as they should be. That such a
// file is loaded says nothing: the model may have done it.
const loadedHere = new Set<string>();

/** Refuses when its model leads to one: a replay loads the model, and must not meet them. */
function loadReactionList(project: Project): readonly AnyReaction[] {
  loadModel(project);
  const leaked = project.reactionsFile !== null && loadedHere.has(project.reactionsFile) ? null : loadedReaction();
  if (leaked !== null) {
    throw new CliFailure(
      'reaction_in_model',
      `reaction '${leaked}' is reachable from ${project.modelFile}: a replay, which loads the model, could call it`,
      'Keep reactions in a file of their own, named in package.json, entry reprise.reactions.',
      2,
    );
  }
  if (!project.reactionsFile) return [];
  loadedHere.add(project.reactionsFile);
  const { reactions } = loadModule<{ reactions?: readonly AnyReaction[] }>(project.reactionsFile);
  if (!reactions) {
    throw new CliFailure(
      'no_reactions',
      `${project.reactionsFile} does not export 'reactions'`,
      'export const reactions = reactions([...])',
      2,
    );
  }
  return reactions;
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
  for (const [file, loaded] of Object.entries(require.cache)) {
    // A package's exports may be getters that warn, or load what they name.
    if (file.includes(`${sep}node_modules${sep}`)) continue;
    const exported = Object.values((loaded?.exports ?? {}) as Record<string, unknown>).flat();
    const found = exported.find((one) => (one as { kind?: unknown } | null)?.kind === 'reaction');
    if (found) return (found as AnyReaction).name;
  }
  return null;
}
