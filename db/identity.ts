import type { Pool } from 'pg';

/** Which database this is. Written into it once, when it was created. */
export interface Identity {
  readonly databaseId: string;
  /** Into how many partitions its log is cut. */
  readonly partitions: number;
}

/** Throws when the database has not been migrated. */
export async function readIdentity(db: Pool): Promise<Identity> {
  const { rows } = await db.query<{ id: string; partitions: number }>('select id, partitions from reprise.identity');
  const row = rows[0];
  if (!row) throw new Error("the database has no identity: run 'reprise migrate'");
  return { databaseId: row.id, partitions: row.partitions };
}
