/** An order line's money: integer minor units, percent as an integer. */
export interface PricedLine {
  readonly unitPriceMinor: number;
  readonly quantity: number;
  readonly discountPercent: number;
}

/** Price x quantity x (1 - discount), rounded half up to a minor unit. Exact: whole hundredths until the last step. */
export function lineMinor(line: PricedLine): number {
  return toSafe(exactLineMinor(line));
}

/** The order: the sum of its lines, freight apart. */
export function totalMinor(lines: readonly PricedLine[]): number {
  return toSafe(lines.reduce((sum, line) => sum + exactLineMinor(line), 0n));
}

function exactLineMinor({ unitPriceMinor, quantity, discountPercent }: PricedLine): bigint {
  const hundredths = BigInt(unitPriceMinor) * BigInt(quantity) * BigInt(100 - discountPercent);
  return (hundredths + 50n) / 100n;
}

/** Beyond this a number would be rounded silently, so there is no such order. */
export const isTooMuch = (minor: number): boolean => !Number.isSafeInteger(minor);

const toSafe = (minor: bigint): number => (minor > BigInt(Number.MAX_SAFE_INTEGER) ? Infinity : Number(minor));
