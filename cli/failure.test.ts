import { WrongDatabase } from '../client/binding';
import { SchemaMismatch } from '../db/migrate';
import { InUse } from '../embedded/lock';
import { CliFailure, toFailure } from './failure';

test.each([
  [new SchemaMismatch('x'), 'schema_mismatch'],
  [new WrongDatabase('x'), 'wrong_database'],
  [new InUse('dir', 1), 'in_use'],
  [new TypeError('x'), 'failed'],
  [new Error('x'), 'failed'],
  [new CliFailure('no_model', 'x'), 'no_model'],
])('%p is told as %s', (error, code) => {
  expect(toFailure(error).code).toBe(code);
});
