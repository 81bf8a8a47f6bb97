import type { Tolerance, Verdict } from '../../workflows/replay';
import type { Columns } from './columns';
import { count } from './look';
import { SAMPLES_MAX, type Differences, type Sample } from './compare';
import type { Apart } from './standing-apart';

/** Of a verification, as it is kept in `replays`. */
export interface Report extends Apart {
  /** Rows that either table has, without those of entities that are parked for the active one. */
  readonly comparedRows: number;
  /** Rows that only the active table has; that only the built one has; that both have and are not alike. */
  readonly missing: number;
  readonly extra: number;
  readonly different: number;
  /** Of the rows compared, 0 to 1. */
  readonly share: number;
  readonly samples: readonly Sample[];
  readonly columns: Omit<Columns, 'shared'>;
  /** Where both stood: events applied, and when that was. */
  readonly vectorAt: { readonly events: number; readonly at: string };
  /** How many parts it was compared in, each at a place of its own. */
  readonly parts: number;
  readonly seconds: number;
}

export const NOTHING: Differences = { rows: 0, missing: 0, extra: 0, different: 0, samples: [] };

/** What was compared so far, and one part more. */
export const addUp = (one: Differences, other: Differences): Differences => ({
  rows: one.rows + other.rows,
  missing: one.missing + other.missing,
  extra: one.extra + other.extra,
  different: one.different + other.different,
  samples: [...one.samples, ...other.samples].slice(0, SAMPLES_MAX),
});

export const shareOf = ({ rows, missing, extra, different }: Differences): number =>
  rows === 0 ? 0 : (missing + extra + different) / rows;

export interface Allowed {
  /** The fold is another than the active one's, or chosen rows were folded again: then differences are what it is for. */
  readonly mayDiffer: boolean;
  readonly tolerance: Tolerance;
  readonly accept: boolean;
}

/** Same code over the whole log: any difference stops the switch. Else what was accepted, or is within bounds, does not. */
export function judge(report: Report, { mayDiffer, tolerance, accept }: Allowed): Verdict {
  const isAlike = report.share === 0;
  const passed = mayDiffer
    ? isAlike || accept || report.share <= tolerance.maxDifferent
    : isAlike && report.parkedNew.length === 0;
  return { passed, summary: `${inWords(report)}${nextStep(report, { passed, mayDiffer })}` };
}

function inWords({ comparedRows, missing, extra, different, share, seconds, parkedLive, parkedNew, columns }: Report) {
  const rows = `${count(comparedRows)} rows compared in ${seconds.toFixed(1)} s`;
  const kinds = [named(missing, 'missing'), named(extra, 'extra'), named(different, 'different')].filter(Boolean);
  const differing = `${count(missing + extra + different)} differ (${percent(share)}): ${kinds.join(', ')}`;
  return [
    share === 0 ? `identical: ${rows}` : `${rows}, ${differing}`,
    names('added', columns.added),
    names('removed', columns.removed),
    names(
      'of another type',
      columns.retyped.map(({ name }) => name),
    ),
    named(parkedLive.length, 'entities parked for the active generation (not compared)'),
    named(parkedNew.length, 'entities parked for the new one: no switch until they are skipped or redriven'),
  ]
    .filter(Boolean)
    .join('; ');
}

function nextStep({ share }: Report, { passed, mayDiffer }: { readonly passed: boolean; readonly mayDiffer: boolean }) {
  if (passed || share === 0) return '';
  return mayDiffer
    ? '; accept the report if that is what it was for'
    : '; the same code must give the same rows: repair them, or raise the declared version';
}

const named = (n: number, what: string): string => (n > 0 ? `${count(n)} ${what}` : '');
const names = (what: string, columns: readonly string[]): string =>
  columns.length > 0 ? `columns ${what}: ${columns.join(', ')}` : '';
/** Of rows. Few are not none. */
export const percent = (share: number): string =>
  share < 0.0001 ? 'under 0.01 %' : `${Number((share * 100).toFixed(2))} %`;
