/** A count that only grows, as it was seen at a time. */
export interface Sighting {
  readonly atMs: number;
  readonly total: number;
}

/** The most by which the count grew within any window of `windowMs`. What was seen at a time is counted at that time. */
export function mostInWindow(sightings: readonly Sighting[], windowMs: number): number {
  let most = 0;
  let first = 1; // the window's first growth is the one seen at `first`
  for (let last = 1; last < sightings.length; last++) {
    while (at(sightings, last).atMs - at(sightings, first).atMs >= windowMs) first++;
    most = Math.max(most, at(sightings, last).total - at(sightings, first - 1).total);
  }
  return most;
}

/** How a throttled run kept its rate: by how much its fullest second was over, and its mean, as fractions of the rate. */
export function keptRate(sightings: readonly Sighting[], perSecond: number): { maxOver: number; mean: number } {
  const moving = sightings.slice(
    Math.max(0, sightings.findIndex(({ total }, n) => n > 0 && total > at(sightings, 0).total) - 1),
  );
  return {
    maxOver: Math.max(0, mostInWindow(moving, 1_000) / perSecond - 1),
    mean: ratePerSecond(moving) / perSecond,
  };
}

/** From the first sighting to the last. */
export function ratePerSecond(sightings: readonly Sighting[]): number {
  const [first, last] = [sightings[0], sightings.at(-1)];
  if (!first || !last || last.atMs <= first.atMs) return NaN;
  return ((last.total - first.total) / (last.atMs - first.atMs)) * 1_000;
}

function at(sightings: readonly Sighting[], n: number): Sighting {
  const found = sightings[n];
  if (!found) throw new Error(`there are ${sightings.length} sightings, none at ${n}`);
  return found;
}
