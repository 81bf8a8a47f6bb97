import type { Pool } from 'pg';
import { count, timeLeft } from '../../activities/replay/look';
import { countReplayWorkers, findReplay } from '../../client/replay';
import { planSelection, type SelectionPlan } from '../../activities/replay/plan-selection';
import { compareColumns, readReplayPlan, type ColumnChanges, type ReplayPlan } from '../../db/replay-plan';
import type { Projection } from '../../model/projection';
import { toFailure } from '../failure';
import { withDoor } from './door';

import type { Selection } from '../../workflows/replay';
import { selectionFor } from './selection';
import type { StartOptions } from './start-options';

/** What a start would do, and what would keep it from it. */
export interface Rehearsed extends ReplayPlan {
  readonly projection: string;
  readonly version: number;
  readonly rate: number | null;
  /** Null: neither a rate is set nor one was ever measured. */
  readonly seconds: number | null;
  readonly columns: ColumnChanges | null;
  /** What is folded again in a copy; null: the whole log is folded. */
  readonly chosen: SelectionPlan | null;
  /** Each would stop the start. */
  readonly refused: readonly string[];
  /** Each would be met later. */
  readonly warnings: readonly string[];
}

/** Looks, and starts nothing. */
export async function planReplay(
  { read, owner }: { readonly read: Pool; readonly owner: Pool },
  projection: Projection,
  options: StartOptions,
): Promise<Rehearsed> {
  const plan = await readReplayPlan(read, projection);
  const columns = plan.live ? await compareColumns(owner, plan.live.table, projection) : null;
  const speed = Math.min(options.rate ?? Infinity, plan.measured ?? Infinity);
  const chosen = await planChosen(read, projection, options.selection);
  const work = chosen ? workOf(chosen, plan) : plan.log.events;
  const inTemporal = await lookInTemporal(read, projection.name);
  return {
    projection: projection.name,
    version: projection.version,
    rate: options.rate,
    seconds: Number.isFinite(speed) ? work / speed : null,
    ...plan,
    columns,
    chosen,
    refused: [...inTemporal.refused, ...undeclared(plan, projection), ...whyNotChosen(chosen)],
    warnings: [
      ...inTemporal.warnings,
      ...(columns?.reshape && !options.reshape ? ['the view would lose or change a column: that needs --reshape'] : []),
      ...(plan.building !== null ? [`generation ${plan.building} is begun already: it is gone on with`] : []),
    ],
  };
}

/** Null: the whole log is folded. */
export async function planChosen(
  db: Pool,
  projection: Projection,
  selection: Selection | null,
): Promise<SelectionPlan | null> {
  const choice = selectionFor(projection, selection);
  return choice && planSelection(db, projection, choice);
}

export const whyNotChosen = (chosen: SelectionPlan | null): string[] => (chosen?.refused ? [chosen.refused] : []);

/** Rows to copy, and events to fold of entities as long as they are on average. */
const workOf = ({ entities }: SelectionPlan, { live, log }: ReplayPlan): number =>
  (live?.rows ?? 0) + Math.ceil((entities * log.to_fold) / Math.max(1, live?.rows ?? 0));

/** Why a replay of it cannot begin: the worker would only find out later. */
export const undeclared = (plan: Pick<ReplayPlan, 'declared' | 'live'>, { version }: Projection): string[] =>
  plan.declared && plan.live ? [] : [`version ${version} is not declared here: run 'reprise migrate' with this model`];

async function lookInTemporal(db: Pool, name: string): Promise<Pick<Rehearsed, 'refused' | 'warnings'>> {
  try {
    return await withDoor(db, async (door) => {
      const open = await findReplay(door, name);
      const workers = await countReplayWorkers(door);
      return {
        refused: open ? [`a replay of it runs: ${open.workflowId}, run ${open.runId}`] : [],
        warnings: workers > 0 ? [] : ["no worker of replays is up: 'reprise worker replay'"],
      };
    });
  } catch (error) {
    return { refused: [toFailure(error).message], warnings: [] };
  }
}

export function planLines(plan: Rehearsed): string[] {
  const { log, live, columns } = plan;
  const about = (estimated: boolean) => (estimated ? 'about ' : '');
  return [
    `${plan.projection}, version ${plan.version}: nothing is started`,
    `  log        ${about(log.estimated)}${count(log.to_fold)} of ${count(log.events)} events to fold, ${bytes(log.bytes)}`,
    ...(plan.chosen ? [`  again      ${chosenOf(plan.chosen)}, in a copy of what is live`] : []),
    `  time       ${timeOf(plan)}`,
    ...(live
      ? [
          `  compared   with generation ${live.generation}: ${about(live.rows_estimated)}${count(live.rows)} rows; ${codeOf(plan, live.version)}`,
        ]
      : []),
    ...(columns ? [`  columns    ${columnsOf(columns)}`] : []),
    `  held back  ${count(plan.parked_live)} entities parked live, ${count(plan.skips)} events skipped`,
    ...plan.warnings.map((warning) => `  note       ${warning}`),
    ...plan.refused.map((refused) => `  refused    ${refused}`),
  ];
}

function timeOf({ seconds, rate, measured }: Rehearsed): string {
  if (seconds === null) return 'unknown: none was measured yet, and no --rate is set';
  const by = measured !== null && (rate === null || measured < rate) ? 'as the last one ran' : 'as --rate allows';
  return `about ${timeLeft(seconds)}, ${by}`;
}

const chosenOf = ({ entities, more }: SelectionPlan): string =>
  `${more ? 'at least ' : ''}${count(entities)} ${entities === 1 ? 'entity' : 'entities'}`;

const codeOf = ({ version, chosen }: Rehearsed, live: number): string =>
  chosen
    ? 'rows that were wrong differ, and are to be accepted'
    : version === live
      ? `the same version, so any difference stops the switch`
      : `version ${live} against ${version}, so differences are to be accepted, or bounded by --max-different`;

function columnsOf({ same, added, removed, changed }: ColumnChanges): string {
  const kinds = { 'the same': same, added, removed, 'of another type': changed };
  return Object.entries(kinds)
    .filter(([, names]) => names.length > 0)
    .map(([kind, names]) => (kind === 'the same' ? `${names.length} ${kind}` : `${kind}: ${names.join(', ')}`))
    .join('; ');
}

function bytes(n: number): string {
  const at = Math.min(4, Math.floor(Math.log10(Math.max(1, n)) / 3));
  return `${(n / 1_000 ** at).toFixed(at === 0 ? 0 : 1)} ${['B', 'kB', 'MB', 'GB', 'TB'][at]}`;
}
