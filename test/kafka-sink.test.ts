import { randomUUID } from 'node:crypto';
import { SinkUnavailable, type OutboxMessage } from '../relay/sink';
import { openKafka } from '../relay/sinks/kafka';
import { kafkaBus, startKafka, type OwnKafka } from './support/kafka';
import { describeWith } from './support/with-broker';

const messages = (round: string): OutboxMessage[] =>
  Array.from({ length: 200 }, (_, n) => ({
    ...{ partition: 0, offset: n + 1, eventId: randomUUID(), topic: 'counter.added', key: `${n}` },
    ...{ entity: `counter/${n}`, body: JSON.stringify({ id: `${round}-${n}` }) },
  }));

describeWith('kafka')('a Kafka of two brokers', () => {
  let kafka: OwnKafka;
  beforeAll(async () => {
    kafka = await startKafka(2);
  }, 240_000);
  afterAll(() => kafka.stop());

  test('invariant 7: partitions that move to a broker that has answered already take nothing with them', async () => {
    const { row, readAll } = kafkaBus(kafka.brokers);
    const sink = await openKafka({ brokers: kafka.brokers, prefix: row.sink });
    const publishAll = (round: string) => Promise.allSettled(messages(round).map((message) => sink.publish(message)));
    await publishAll('before'); // the topic is made
    await kafka.moveLeaders();
    const outcomes = await publishAll('during');
    const rejected = outcomes.filter((one) => one.status === 'rejected').map(({ reason }) => reason as unknown);
    for (const reason of rejected) expect(reason).toBeInstanceOf(SinkUnavailable);
    expect(rejected.length).toBeGreaterThan(0);
    expect((await publishAll('again')).every(({ status }) => status === 'fulfilled')).toBe(true);
    await sink.close();
    const there = new Set((await readAll()).map(({ id }) => id));
    const acknowledged = outcomes.flatMap(({ status }, n) => (status === 'fulfilled' ? [`during-${n}`] : []));
    expect(acknowledged.filter((id) => !there.has(id))).toEqual([]);
    expect([...there].filter((id) => id.startsWith('again'))).toHaveLength(200);
  }, 60_000);
});
