import { cpus, release, totalmem } from 'node:os';
import type { Rate } from './measure';

export interface Row extends Rate {
  readonly what: string;
}

export interface Report {
  readonly rows: readonly Row[];
  /** Stable names: see docs/benchmarks.md. */
  readonly figures: Readonly<Record<string, number>>;
}

/** One object, `{ machine, date, rows, figures }`, or a table for people. */
export function tell({ rows, figures }: Report, json: boolean): string {
  const machine = `${cpus().length} cores (${cpus()[0]?.model ?? '?'}), ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release()}, Node ${process.version}`;
  if (json) return JSON.stringify({ machine, date: new Date().toISOString(), rows, figures });
  return [
    machine,
    'baselines: bench/raw-pg.ts, bench/workflows/bare-entity.ts, bench/replay/, and in bench/relay.ts and bench/projector.ts themselves',
    '',
    ...rows.map(({ what, perSecond, p50Ms, p99Ms }) => {
      const rate = `${what.padEnd(60)} ${perSecond.toFixed(0).padStart(7)}/s`;
      if (Number.isNaN(p50Ms)) return rate; // a stream, not calls
      return `${rate}  p50 ${p50Ms.toFixed(1).padStart(7)} ms  p99 ${p99Ms.toFixed(1).padStart(7)} ms`;
    }),
    '',
    ...Object.entries(figures).map(([name, value]) => `${name.padEnd(40)} ${value.toFixed(2).padStart(10)}`),
  ].join('\n');
}
