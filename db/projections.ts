import type { Pool } from 'pg';

/** A read model's build, and exactly how far behind it is. */
export type ProjectionStatus = Readonly<{
  name: string;
  generation: number;
  version: number;
  status: string;
  /** `running`, or the worst of its checkpoints' states. */
  consumer: string;
  lag_events: number;
  /** Age of the oldest event not applied; null when there is none. */
  lag_seconds: number | null;
}>;

/** Every build that is not dropped. True also while its consumer is dead: computed from heads and checkpoints. */
export async function readProjections(db: Pool): Promise<ProjectionStatus[]> {
  const { rows } = await db.query<ProjectionStatus>(
    `select substr(g.consumer, length('projection/') + 1) as name, g.generation, g.declared_version as version, g.status,
            coalesce(min(l.status) filter (where l.status <> 'running'), 'running') as consumer,
            coalesce(sum(l.lag_events), 0)::bigint as lag_events, max(l.lag_seconds)::float8 as lag_seconds
     from reprise.generations g left join reprise.lag l using (consumer, generation)
     where g.consumer like 'projection/%' and g.status <> 'dropped'
     group by g.consumer, g.generation, g.declared_version, g.status order by g.consumer, g.generation`,
  );
  return rows;
}
