import { Client, type ClientBase } from 'pg';
import type { Model } from '../model/model';
import type { Projection } from '../model/projection';
import { projectionConsumer } from '../workflows/names';

/** Makes the first build of every projection that has none: its table, its view, its checkpoints at the first event. */
export async function ensureGenerations(client: ClientBase, model: Model): Promise<void> {
  for (const projection of model.projections) {
    await client.query('begin');
    try {
      const { rowCount } = await client.query('select from reprise.generations where consumer = $1::text limit 1', [
        projectionConsumer(projection.name),
      ]);
      if (rowCount === 0) await createGeneration(client, projection, 1);
      await client.query('commit');
    } catch (error) {
      await client.query('rollback');
      throw error;
    }
  }
}

// Names are checked where a projection is declared, and the DDL is the user's own SQL.
async function createGeneration(client: ClientBase, projection: Projection, generation: number): Promise<void> {
  const { name, table, indexes, version } = projection;
  const tableName = `${name}__g${generation}`;
  await client.query(`create table read.${tableName} (${table})`);
  for (const index of indexes) await client.query(`create index on read.${tableName} ${index}`);
  await client.query(`create view read.${name} as select * from read.${tableName}`);
  await client.query(`grant select, insert, update, delete on read.${tableName} to reprise_project`);
  await client.query(`grant select on read.${tableName}, read.${name} to reprise_read`);
  await client.query(
    `insert into reprise.generations (consumer, generation, declared_version, status, table_name)
     values ($1::text, $2::integer, $3::integer, 'active', $4::text)`,
    [projectionConsumer(name), generation, version, tableName],
  );
  await client.query(
    `insert into reprise.checkpoints (consumer, generation, partition, next_offset)
     select $1::text, $2::integer, partition, 1 from reprise.partitions`,
    [projectionConsumer(name), generation],
  );
}

/**
 * Empties a read model and puts its checkpoints back to the first event, in one transaction; its consumer is fenced.
 * One whose declared version was raised is made again as the next generation, which only the new code feeds.
 */
export async function resetProjection(ownerUrl: string, projection: Projection): Promise<void> {
  const client = new Client({ connectionString: ownerUrl, application_name: 'reprise-reset' });
  await client.connect();
  try {
    await client.query('begin');
    const { name } = projection;
    const consumer = projectionConsumer(name);
    const { rows } = await client.query<Active>(
      `select generation, table_name, declared_version from reprise.generations where consumer = $1::text and status = 'active'`,
      [consumer],
    );
    const active = rows[0];
    if (!active) throw new Error(`projection '${name}' has no active generation: run 'reprise migrate'`);
    await client.query(
      `select from reprise.checkpoints where consumer = $1::text and generation = $2::integer order by partition for update`,
      [consumer, active.generation],
    );
    if (active.declared_version !== projection.version) {
      await dropGeneration(client, projection, active);
      await createGeneration(client, projection, active.generation + 1);
      await client.query('commit');
      return;
    }
    await client.query(`delete from read.${client.escapeIdentifier(active.table_name)}`);
    await client.query(`delete from reprise.parked where consumer = $1::text and generation = $2::integer`, [
      consumer,
      active.generation,
    ]);
    await client.query(
      `update reprise.checkpoints set next_offset = 1, epoch = epoch + 1, error = null, updated_at = clock_timestamp(),
              status = case when status = 'paused' then status else 'running' end
       where consumer = $1::text and generation = $2::integer`,
      [consumer, active.generation],
    );
    await client.query('commit');
  } finally {
    await client.end();
  }
}

interface Active {
  readonly generation: number;
  readonly table_name: string;
  readonly declared_version: number;
}

/** Its rows in checkpoints and parked leave with it; that it was there stays in `generations`. */
async function dropGeneration(client: ClientBase, { name }: Projection, { generation, table_name }: Active) {
  const of = [projectionConsumer(name), generation];
  await client.query(`drop view read.${name}`);
  await client.query(`drop table read.${client.escapeIdentifier(table_name)}`);
  await client.query('delete from reprise.parked where consumer = $1::text and generation = $2::integer', of);
  await client.query('delete from reprise.checkpoints where consumer = $1::text and generation = $2::integer', of);
  await client.query(
    `update reprise.generations set status = 'dropped' where consumer = $1::text and generation = $2::integer`,
    of,
  );
}
