import type { Backfill } from '../model/backfill';
import { loadModule, type Project } from './context';
import { CliFailure } from './failure';

/** The ways in that a project declares: the export `backfills` of its file. */
export function loadBackfills(project: Project): readonly Backfill[] {
  if (!project.backfillsFile) return [];
  const { backfills } = loadModule<{ backfills?: readonly Backfill[] }>(project.backfillsFile);
  if (backfills) return backfills;
  throw new CliFailure(
    'no_backfills',
    `${project.backfillsFile} does not export 'backfills'`,
    'export const backfills = backfills([...])',
    2,
  );
}
