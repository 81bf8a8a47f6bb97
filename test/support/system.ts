import type { AnyEntity } from '../../model/entity';
import type { Model } from '../../model/model';
import { openClonedDatabase, type TestDatabase } from '../../testing/database';
import { openParts, SystemOfParts } from '../../testing/parts';

export type { TestDatabase };

export const testDatabase = (): Promise<TestDatabase> =>
  openClonedDatabase(required('REPRISE_TEST_DATABASE_URL'), required('REPRISE_TEST_TEMPLATE'));

/** Database, Temporal and a name of its own for one test file. Workers and clients are started as a test needs them. */
export class TestSystem<const Entities extends readonly AnyEntity[]> extends SystemOfParts<Entities> {
  /** On the run's own Temporal server, or on one that a test may kill. */
  static async open<const Entities extends readonly AnyEntity[]>(
    model: Model<Entities>,
    temporalAddress = required('REPRISE_TEST_TEMPORAL'),
  ): Promise<TestSystem<Entities>> {
    const databaseUrl = required('REPRISE_TEST_DATABASE_URL');
    const template = required('REPRISE_TEST_TEMPLATE');
    return new TestSystem(model, await openParts({ databaseUrl, template, temporalAddress }));
  }
}

export function required(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is set by test/support/global-setup.ts: run the tests with jest`);
  return value;
}
