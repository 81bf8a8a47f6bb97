import type { Pool, PoolClient } from 'pg';

type Db = Pick<Pool | PoolClient, 'query'>;

/** What is not what its events fold to. */
export interface Drift {
  /** `projection/order_summary` of a row, `entity/order` of a state. */
  readonly consumer: string;
  /** The row's key, or the entity's id. */
  readonly subject: string;
  /** 0 of a state. */
  readonly generation: number;
  /** Which columns, or that it is missing: no values. */
  readonly detail: string;
}

export type KnownDrift = Readonly<{
  consumer: string;
  subject: string;
  generation: number;
  detail: string;
  since: string;
  seen: string;
}>;

export type AuditRun = Readonly<{
  projection: string;
  began: string;
  ended: string | null;
  entities: number;
  compared: number;
  different: number;
}>;

export interface AuditName {
  readonly consumer: string;
  readonly run: string;
}

/** A second try begins again in the same row. */
export async function beginAudit(db: Db, { consumer, run }: AuditName, entityTypes: readonly string[]): Promise<void> {
  await db.query(
    `insert into reprise.audits (consumer, run, entity_types) values ($1::text, $2::text, $3::text[])
     on conflict (consumer, run) do update set began_at = clock_timestamp(), ended_at = null`,
    [consumer, run, entityTypes],
  );
}

export async function endAudit(
  db: Db,
  { consumer, run }: AuditName,
  found: { readonly entities: number; readonly compared: number; readonly different: number },
): Promise<void> {
  await db.query(
    `update reprise.audits set entities = $3::integer, compared = $4::integer, different = $5::integer,
            ended_at = clock_timestamp()
     where consumer = $1::text and run = $2::text`,
    [consumer, run, found.entities, found.compared, found.different],
  );
}

/** What was compared: what differs is written down, and whatever was said of the others before is taken back. */
export async function noteCompared(
  db: Db,
  compared: readonly Pick<Drift, 'consumer' | 'subject'>[],
  drifts: readonly Drift[],
): Promise<void> {
  const differs = new Set(drifts.map(({ consumer, subject }) => `${consumer} ${subject}`));
  const right = compared.filter(({ consumer, subject }) => !differs.has(`${consumer} ${subject}`));
  await db.query(
    `delete from reprise.drifts d using unnest($1::text[], $2::text[]) as r (consumer, subject)
     where d.consumer = r.consumer and d.subject = r.subject`,
    [right.map(({ consumer }) => consumer), right.map(({ subject }) => subject)],
  );
  if (drifts.length === 0) return;
  await db.query(
    `insert into reprise.drifts as d (consumer, subject, generation, detail)
     select * from unnest($1::text[], $2::text[], $3::integer[], $4::text[])
     on conflict (consumer, subject) do update
       set generation = excluded.generation, detail = excluded.detail, seen_at = clock_timestamp(),
           since = case when d.generation = excluded.generation then d.since else clock_timestamp() end`,
    [
      drifts.map(({ consumer }) => consumer),
      drifts.map(({ subject }) => subject),
      drifts.map(({ generation }) => generation),
      drifts.map(({ detail }) => detail),
    ],
  );
}

/** Of these consumers; of all, without any. Longest known first. */
export async function readDrifts(db: Db, consumers: readonly string[] | null, rowsMax = 1_000): Promise<KnownDrift[]> {
  const { rows } = await db.query<KnownDrift>(
    `select consumer, subject, generation, detail, since, seen_at as seen from reprise.drifts
     where $1::text[] is null or consumer = any($1::text[]) order by consumer, subject limit $2::integer`,
    [consumers, rowsMax],
  );
  return rows;
}

/** The newest first. */
export async function readAudits(db: Db, rowsMax = 20): Promise<AuditRun[]> {
  const { rows } = await db.query<AuditRun>(
    `select substr(consumer, length('projection/') + 1) as projection, began_at as began, ended_at as ended,
            entities, compared, different
     from reprise.audits order by began_at desc limit $1::integer`,
    [rowsMax],
  );
  return rows;
}
