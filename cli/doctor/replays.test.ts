import { model } from '../../shop/model';
import { testDatabase } from '../../test/support/system';
import { checkReadModels } from './database';
import { checkReplays } from './replays';

test('doctor names the replay that a raised version needs, and one that stands still', async () => {
  const database = await testDatabase();
  const { db } = database;
  const declares = (version: number) => ({
    ...model,
    projections: model.projections.map((projection) => ({ ...projection, version })),
  });
  try {
    expect(await checkReadModels(db, declares(2))).toContainEqual(
      expect.objectContaining({
        ...{ check: 'read.order_summary', status: 'warn' },
        next: expect.stringContaining("run 'reprise replay start order_summary'") as string,
      }),
    );
    expect(await checkReadModels(db, declares(0))).toMatchObject([{ status: 'warn' }, {}, {}]);
    expect(await checkReplays(db)).toEqual([]);
    await db.query(
      `insert into reprise.replays (consumer, generation, actor)
       values ('projection/order_summary', reprise.create_generation('projection/order_summary', 1, 'building'), 'test')`,
    );
    expect(await checkReplays(db)).toMatchObject([{ check: 'replay order_summary', status: 'pass' }]);
    await db.query(`update reprise.replays set moved_at = moved_at - interval '1 minute'`);
    expect(await checkReplays(db)).toMatchObject([
      { status: 'warn', next: expect.stringContaining('reprise worker replay') as string },
    ]);
    await db.query(`update reprise.replays set wanted = 'pause'`);
    expect(await checkReplays(db)).toMatchObject([{ status: 'pass' }]);
    await db.query(`update reprise.replays set error = 'no such column'`);
    expect(await checkReplays(db)).toMatchObject([
      { status: 'warn', found: expect.stringContaining('no such column') as string },
    ]);
  } finally {
    await database.drop();
  }
});
