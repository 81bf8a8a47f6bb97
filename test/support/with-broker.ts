import { required } from './system';

/** Found when the run began: a suite whose broker is missing is skipped, and named there. */
export const isThere = (kind: string): boolean => required('REPRISE_TEST_BROKERS').split(',').includes(kind);

export const describeWith = (kind: string): jest.Describe => (isThere(kind) ? describe : describe.skip);

export const testWith = (kind: string): jest.It => (isThere(kind) ? test : test.skip);
