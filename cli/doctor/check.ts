import { toFailure } from '../failure';

export interface Check {
  readonly check: string;
  readonly status: 'pass' | 'warn' | 'fail';
  /** What was measured. */
  readonly found: string;
  /** What to do about it. */
  readonly next?: string;
}

/** A check that could not be made is a failed one, with its reason. */
export async function attemptCheck(check: string, make: () => Promise<Check | Check[]>): Promise<Check[]> {
  try {
    const made = await make();
    return Array.isArray(made) ? made : [made];
  } catch (error) {
    const { message, next } = toFailure(error);
    return [{ check, status: 'fail', found: message, ...(next ? { next } : {}) }];
  }
}
