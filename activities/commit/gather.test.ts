import type { CommandMessage } from '../../contracts/message';
import type { Commit } from '../commit';
import { gather } from './gather';

const message = (entityId: string, characters: number): CommandMessage => ({
  entityType: 'document',
  entityId,
  commandId: entityId,
  name: 'write',
  version: 1,
  data: 'x'.repeat(characters),
});

test('calls that wait share a transaction up to its bounds, and one that is larger goes alone', async () => {
  const transactions: string[][] = [];
  const together: Commit = async (batch) => {
    transactions.push(batch.map(({ entityId }) => entityId));
    await new Promise(setImmediate);
    const outcomes = batch.map(
      ({ commandId }) => ({ commandId, outcome: 'refused', code: 'x', lastVersion: 0 }) as const,
    );
    return { outcomes, settled: batch.map(() => false) };
  };
  const commit = gather({
    together,
    patiently: together,
    partitionOf: () => 0,
    transactionsMax: 1,
    commandsMax: 3,
    charactersMax: 10_000,
  });
  const sizes = { first: 1, a: 4_000, b: 4_000, c: 4_000, huge: 50_000, d: 1, e: 1, f: 1, g: 1 };
  await Promise.all(Object.entries(sizes).map(([id, characters]) => commit([message(id, characters)])));
  expect(transactions).toEqual([['first'], ['a', 'b'], ['c'], ['huge'], ['d', 'e', 'f'], ['g']]);
});
