import type { Pool } from 'pg';
import { readSinks } from '../db/sinks';
import type { Model } from '../model/model';
import { projectionConsumer, projectionQueue, RELAY_QUEUE, relayConsumer } from '../workflows/names';
import type { WantedConsumer } from './start-consumers';

/** Every generation that is fed, and every sink that is declared. */
export async function wantedConsumers(db: Pool, model: Model): Promise<WantedConsumer[]> {
  return [...(await projections(db, model)), ...(await relays(db))];
}

async function projections(db: Pool, model: Model): Promise<WantedConsumer[]> {
  const { rows } = await db.query<{ consumer: string; generation: number; declared_version: number }>(
    `select consumer, generation, declared_version from reprise.generations where status in ('active', 'standby')`,
  );
  return rows.flatMap(({ consumer, generation, declared_version }) => {
    const projection = model.projections.find(({ name }) => projectionConsumer(name) === consumer);
    if (!projection) return [];
    const taskQueue = projectionQueue(projection.name, declared_version);
    return {
      workflowId: `${consumer}/g${generation}`,
      input: { consumer, generation, taskQueue },
      summary: `feeds read.${projection.name}, generation ${generation}`,
    };
  });
}

async function relays(db: Pool): Promise<WantedConsumer[]> {
  return (await readSinks(db)).map(({ sink, kind }) => ({
    workflowId: relayConsumer(sink),
    input: { consumer: relayConsumer(sink), generation: 0, taskQueue: RELAY_QUEUE },
    summary: `publishes to ${sink} (${kind})`,
  }));
}
