import type { Pool } from 'pg';
import { makeInbox } from '../../consumer/inbox';
import { parseEnvelope } from '../../contracts/envelope';
import type { CommandMessage } from '../../contracts/message';
import type { OnTheBus } from './brokers';
import { counterCommand } from './counters';

/** So many rounds of commands to these entities; every seventh makes a private event. */
export const rounds = (name: string, entities: number, each: number): CommandMessage[] =>
  Array.from({ length: each * entities }, (_, n) => {
    const id = `${name}-${n % entities}`;
    return n % 7 === 3 ? counterCommand(id, {}, 'hide') : counterCommand(id, { by: n });
  });

/** Everything that the log says should be on the bus is there, as it is in the log, and in each entity's order. */
export async function expectWhole(db: Pool, name: string, found: readonly OnTheBus[]): Promise<void> {
  const { rows } = await db.query<{
    event_id: string;
    entity_id: string;
    version: number;
    published_after: number;
    data: unknown;
  }>(
    `select event_id, entity_id, version, published_after, data from reprise.events
     where starts_with(entity_id, $1) and published_after is not null order by entity_id, version`,
    [`${name}-`],
  );
  expect(rows.length).toBeGreaterThan(0);
  const firsts = new Map<string, OnTheBus>();
  const last = new Map<string, number>();
  for (const message of found) {
    const before = last.get(message.partitionkey) ?? 0;
    if (firsts.has(message.id)) continue; // a repeat, of a version seen already
    expect(message.entityversion).toBeGreaterThan(before);
    expect(message.previousversion).toBe(before);
    last.set(message.partitionkey, message.entityversion);
    firsts.set(message.id, message);
  }
  expect(firsts.size).toBe(rows.length);
  for (const row of rows) {
    expect(firsts.get(row.event_id)).toMatchObject({
      partitionkey: `counter/${row.entity_id}`,
      entityversion: row.version,
      previousversion: row.published_after,
      data: row.data,
    });
  }
}

/** Invariant 10: a consumer with the kit that gets everything twice counts as the log does. */
export async function expectCountedOnce(db: Pool, name: string, found: readonly OnTheBus[]): Promise<void> {
  const inbox = makeInbox({ db, consumer: name });
  await inbox.prepare();
  const counts = new Map<string, number>();
  for (const message of [...found, ...found]) {
    await inbox.handle(parseEnvelope(JSON.stringify(message)), (_tx, { subject }) => {
      counts.set(subject, (counts.get(subject) ?? 0) + 1);
      return Promise.resolve();
    });
  }
  const { rows } = await db.query<{ entity_id: string; events: number }>(
    `select entity_id, count(*) as events from reprise.events
     where starts_with(entity_id, $1) and published_after is not null group by entity_id`,
    [`${name}-`],
  );
  expect(Object.fromEntries(counts)).toEqual(Object.fromEntries(rows.map((row) => [row.entity_id, row.events])));
}
