import { makeCommit } from '../../activities/commit';
import { openPool } from '../../db/pool';
import { counterCommand, counters } from '../../test/support/counters';
import { testDatabase } from '../../test/support/system';
import { checkConsumers } from './database';

test('doctor warns of a consumer that is said to run and has not got on for half a minute', async () => {
  const database = await testDatabase();
  const commits = openPool({ url: database.urlOf('commit'), max: 1, applicationName: 'test' });
  const { db } = database;
  try {
    await makeCommit({ db: commits, model: counters, partitions: 64, wake: () => undefined })([counterCommand('1')]);
    expect(await checkConsumers(db)).toMatchObject([{ check: 'consumers', status: 'pass' }]);
    await db.query(`alter table reprise.events disable trigger all`);
    await db.query(`update reprise.events set recorded_at = recorded_at - interval '31 seconds'`);
    expect(await checkConsumers(db)).toContainEqual(
      expect.objectContaining({ check: 'projection/order_summary/g1', status: 'warn' }),
    );
    await db.query(`update reprise.checkpoints set status = 'paused'`);
    expect(await checkConsumers(db)).toMatchObject([{ status: 'pass' }]);
  } finally {
    await commits.end();
    await database.drop();
  }
});
