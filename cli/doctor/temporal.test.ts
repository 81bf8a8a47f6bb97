import { bindDatabase } from '../../client/binding';
import { readIdentity } from '../../db/identity';
import { model } from '../../shop/model';
import { TestSystem } from '../../test/support/system';
import type { Context } from '../context';
import { temporalChecks } from './temporal';

test('doctor looks at what a namespace belongs to, and binds nothing', async () => {
  const system = await TestSystem.open(model);
  const context = {
    temporal: { connection: { address: system.address }, namespace: 'default' },
    urlOf: system.database.urlOf,
    idPrefix: system.name,
  } as unknown as Context;
  const binding = async () => (await temporalChecks(context, model)).find(({ check }) => check === 'binding');
  try {
    expect(await binding()).toMatchObject({ status: 'warn', found: 'not bound yet' });
    expect(await binding()).toMatchObject({ status: 'warn' });
    const { databaseId } = await readIdentity(system.db);
    await bindDatabase(system.temporal, { idPrefix: system.name, databaseId });
    expect(await binding()).toMatchObject({ status: 'pass', found: `database ${databaseId}` });
    await system.db.query('update reprise.identity set id = gen_random_uuid()');
    expect(await binding()).toMatchObject({
      status: 'fail',
      found: expect.stringContaining(`belongs to database ${databaseId}`) as string,
    });
  } finally {
    await system.close();
  }
});
