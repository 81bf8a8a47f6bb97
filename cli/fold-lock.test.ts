import { whatChanged, type FoldLock } from './fold-lock';
import { foldsOf } from './fold-lock';
import { findProject, loadModel } from './context';

const LOCKED: FoldLock = { totals: { version: 2, source: 'a' } };

test.each<[string, FoldLock, RegExp | null]>([
  ['nothing changed', { totals: { version: 2, source: 'a' } }, null],
  [
    'the source changed alone',
    { totals: { version: 2, source: 'b' } },
    /source of totals changed and its version \(2\)/,
  ],
  ['the version was raised', { totals: { version: 3, source: 'b' } }, /has version 3, the lock has 2/],
  ['the version went back', { totals: { version: 1, source: 'a' } }, /went back/],
  [
    'a projection is new',
    { totals: { version: 2, source: 'a' }, other: { version: 1, source: 'c' } },
    /other is not in/,
  ],
  ['a projection is gone', {}, /totals is in the lock and not in the model/],
])('%s', (_, now, says) => {
  const changed = whatChanged(LOCKED, now);
  if (says === null) expect(changed).toEqual([]);
  else expect(changed).toEqual([expect.stringMatching(says)]);
});

test("a model's folds are found by the files that declare them, each with a hash of its own", () => {
  const project = findProject();
  const folds = foldsOf(project, loadModel(project));
  expect(Object.keys(folds)).toEqual(['order_summary', 'product_search', 'user_balance']);
});
