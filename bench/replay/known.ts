// Events/s of prototypes on two cores, 300,000 events; theirs was a narrower table: docs/benchmarks.md.
const KNOWN = {
  sql_events_per_second: 432_000,
  stream_events_per_second: 199_000,
  one_event_per_second: 1_286,
} as const;

const LEAST = 0.7;

/** One line for each baseline that is far below what it is known to reach: a ratio to it flatters. */
export function weakBaselines(figures: Readonly<Record<string, number>>): string[] {
  return Object.entries(KNOWN).flatMap(([name, known]) => {
    const measured = figures[name] ?? NaN;
    if (measured >= LEAST * known) return [];
    return [`warning: ${name} is ${measured.toFixed(0)}, ${(measured / known).toFixed(2)} x the known ${known}`];
  });
}
