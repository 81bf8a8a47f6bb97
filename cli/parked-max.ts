import { CliFailure } from './failure';

/** How many entities a consumer may hold back before it stops altogether; undefined: as many as by default. */
export function readParkedMax(env: NodeJS.ProcessEnv): number | undefined {
  const named = env['REPRISE_PARKED_MAX'];
  if (!named) return undefined;
  if (/^\d{1,9}$/.test(named)) return Number(named);
  throw new CliFailure(
    'usage',
    `REPRISE_PARKED_MAX is '${named}', not a number of entities`,
    'A whole number; 0 stops a consumer at the first entity it holds back. Default 100.',
    2,
  );
}
