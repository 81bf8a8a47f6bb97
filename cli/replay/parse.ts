import { CliFailure } from '../failure';

// What the column of a rate holds.
const RATE_MAX = 2_147_483_647;
const GRACE_MS_MAX = 30 * 86_400_000;
const UNIT_MS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `5000`, or `none`: events per second. */
export function parseRate(text: string): number | null {
  if (text === 'none') return null;
  const rate = wholeNumber(text);
  if (rate !== null && rate >= 1 && rate <= RATE_MAX) return rate;
  throw wrong(`'${text}' is no rate`, "A whole number of events per second from 1, or 'none'");
}

/** Of one rate for several, each one's share; the remainder is nobody's. */
export function splitRate(rate: number | null, among: number): number | null {
  if (rate === null) return null;
  if (rate >= among) return Math.floor(rate / among);
  throw wrong(`--rate ${rate} cannot be split among ${among}`, 'Each is filled with at least 1 event per second');
}

/** `0.1%` or `0.001`: a share, 0 to 1. */
export function parseShare(text: string): number {
  const [, digits, percent] = /^(\d{1,3}(?:\.\d{1,9})?)(%?)$/.exec(text) ?? [];
  const share = Number(digits) / (percent ? 100 : 1);
  if (share >= 0 && share <= 1) return share;
  throw wrong(`--max-different ${text}: not a share of the rows`, "Like '0.1%' or '0.001'");
}

/** `90s`, `10m`, `2h`, `1d` in milliseconds. */
export function parseGrace(text: string): number {
  const [, digits, unit = ''] = /^(\d{1,9})([smhd])$/.exec(text) ?? [];
  const ms = Number(digits) * (UNIT_MS[unit] ?? NaN);
  if (ms >= 0 && ms <= GRACE_MS_MAX) return ms;
  throw wrong(`--grace ${text}: not a time`, "Like '90s', '10m', '2h' or '1d', up to 30 days");
}

/** How many parts are filled side by side; how many there may be at most is known to the database. */
export function parseSlices(text: string): number {
  const slices = wholeNumber(text);
  if (slices !== null && slices >= 1) return slices;
  throw wrong(`--slices ${text}: not a number of parts`, 'A whole number from 1 to the number of partitions');
}

const wholeNumber = (text: string): number | null => (/^\d{1,10}$/.test(text) ? Number(text) : null);

export const wrong = (message: string, next?: string): CliFailure => new CliFailure('usage', message, next, 2);
