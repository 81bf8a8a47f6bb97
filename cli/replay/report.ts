import type { Sample } from '../../activities/replay/compare';
import { count } from '../../activities/replay/look';
import { percent, type Report } from '../../activities/replay/report';
import { table } from '../output';

// What a person reads; `--json` has all of it.
const SAMPLES_SHOWN = 20;
const NAMES_SHOWN = 10;
const VALUE_MAX = 40;

/** The row also holds what was replaced, whether or not it was verified. */
export const isReport = (value: unknown): value is Report =>
  typeof value === 'object' && value !== null && 'comparedRows' in value;

export function countLines({ comparedRows, missing, extra, different, share }: Report): string[] {
  const differing = missing + extra + different;
  const ofAll = differing === 0 ? '' : ` (${percent(share)})`;
  return [
    `compared   ${count(comparedRows)} rows`,
    `differ     ${count(differing)}${ofAll}: ${count(missing)} missing, ${count(extra)} extra, ${count(different)} different`,
  ];
}

/** Counts, columns, what is held back or passed over, and rows that differ with what changed in them. */
export function reportLines(report: Report): string[] {
  const { columns, samples } = report;
  const retyped = columns.retyped.map(({ name, from, to }) => `${name} (${from} to ${to})`);
  return [
    ...countLines(report),
    ...named('columns new', columns.added),
    ...named('columns gone', columns.removed),
    ...named('columns of another type', retyped),
    ...named('parked live, not compared', report.parkedLive),
    ...named('parked in the new one', report.parkedNew),
    ...named('events skipped', report.skips),
    ...(samples.length === 0 ? [] : ['', ...table(samples.slice(0, SAMPLES_SHOWN).map(sampleRow))]),
    ...(samples.length > SAMPLES_SHOWN ? [`and more: ${samples.length - SAMPLES_SHOWN} samples with --json`] : []),
  ];
}

function named(what: string, names: readonly string[]): string[] {
  if (names.length === 0) return [];
  const more = names.length > NAMES_SHOWN ? ' …' : '';
  return [`${what}: ${count(names.length)}: ${names.slice(0, NAMES_SHOWN).join(', ')}${more}`];
}

const sampleRow = ({ key, kind, active, built, changed }: Sample) => ({
  key: printable(key),
  kind,
  changed: changed.map((column) => `${column}: ${value(active, column)} -> ${value(built, column)}`).join('; '),
});

function value(row: Readonly<Record<string, unknown>> | null, column: string): string {
  const found = row?.[column];
  const text = typeof found === 'string' ? found : JSON.stringify(found ?? null);
  return printable(text.length > VALUE_MAX ? `${text.slice(0, VALUE_MAX)}…` : text);
}

/** What is in a row must not move the cursor. */
const printable = (text: string): string => text.replace(/\p{Cc}/gu, ' ');
