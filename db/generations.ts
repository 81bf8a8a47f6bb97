import { Client, type ClientBase } from 'pg';
import type { Model } from '../model/model';
import type { Projection } from '../model/projection';
import { projectionConsumer } from '../workflows/names';

/** Declares the table of every projection, and makes the first build of those that have none, at the first event. */
export async function ensureGenerations(client: ClientBase, model: Model): Promise<void> {
  for (const projection of model.projections) {
    await client.query('begin');
    try {
      await declareTable(client, projection);
      const { rowCount } = await client.query('select from reprise.generations where consumer = $1::text limit 1', [
        projectionConsumer(projection.name),
      ]);
      if (rowCount === 0) await createActive(client, projection);
      await client.query('commit');
    } catch (error) {
      await client.query('rollback');
      throw error;
    }
  }
}

/** What generations of this version are made of, by whoever builds one later. Throws when it is another table than before. */
async function declareTable(client: ClientBase, { name, version, table, indexes }: Projection): Promise<void> {
  const { rows } = await client.query<{ same: boolean }>(
    `with declared as (
       insert into reprise.declarations as d (consumer, declared_version, table_body, indexes)
       values ($1::text, $2::integer, $3::text, $4::text[])
       on conflict (consumer, declared_version) do update set declared_at = d.declared_at
       returning table_body, indexes
     )
     select regexp_replace(table_body || array_to_string(indexes, ';'), '\\s+', ' ', 'g')
            = regexp_replace($3::text || array_to_string($4::text[], ';'), '\\s+', ' ', 'g') as same from declared`,
    [projectionConsumer(name), version, table, indexes],
  );
  if (rows[0]?.same) return;
  throw new Error(
    `the table of projection '${name}' is another than version ${version} was declared with. Raise its version: ` +
      `a replay then builds it beside the one that serves.`,
  );
}

async function createActive(client: ClientBase, { name, version }: Projection): Promise<void> {
  await client.query(`select reprise.create_generation($1::text, $2::integer, 'active')`, [
    projectionConsumer(name),
    version,
  ]);
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
      await declareTable(client, projection);
      await createActive(client, projection);
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
