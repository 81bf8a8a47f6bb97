import { addSink, readSinkStatus, removeSink } from '../db/sinks';
import { model } from '../shop/model';
import { natsBus, OwnNats } from './support/brokers';
import { create } from './support/orders';
import { TestSystem } from './support/system';
import { until } from './support/until';
import { testWith } from './support/with-broker';

testWith('nats')(
  'a sink that is added while all is running gets what is committed from then on, and ends when it is removed',
  async () => {
    const nats = await OwnNats.open();
    const system = await TestSystem.open(model);
    await system.startEntityWorker();
    await system.startConsumers({ env: { NATS_URL: nats.url } });
    const client = await system.client();
    await client.order('before').send(create());
    const bus = natsBus(nats.url);
    await addSink(system.db, bus.row);
    await client.order('after').send(create());
    const emptied = async () => (await readSinkStatus(system.db))[0]?.waiting === 0;
    await until(emptied, { what: 'the relay has been started and has published' });
    const [found, ...others] = await bus.readAll();
    expect(found).toMatchObject({ partitionkey: 'order/after', entityversion: 1, previousversion: 0 });
    expect(others).toEqual([]);

    await removeSink(system.db, bus.row.sink);
    const relay = system.temporal.workflow.getHandle(`${system.name}relay/${bus.row.sink}`);
    await until(async () => (await relay.describe()).status.name === 'COMPLETED', { what: 'its workflow has ended' });
    await system.close();
    await nats.close();
  },
  60_000,
);
