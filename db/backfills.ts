import type { Pool, PoolClient } from 'pg';

/** A run of a backfill, and how far it is. */
export interface BackfillRun {
  readonly run: string;
  readonly name: string;
  readonly source: string;
  readonly file: string | null;
  readonly dry_run: boolean;
  readonly publish: boolean;
  /** Commands a second at most; null: as many as go. */
  readonly rate: number | null;
  readonly wanted: 'run' | 'pause' | 'cancel';
  readonly status: 'running' | 'done' | 'cancelled' | 'failed';
  readonly rows_read: number;
  /** Of `total`: bytes of a file, rows of a query. */
  readonly done: number;
  readonly total: number | null;
  readonly accepted: number;
  /** Brought before, by this run or an earlier one. */
  readonly repeated: number;
  readonly events: number;
  /** Rows, or commands of a row, that were not taken. */
  readonly rejected: number;
  readonly rejects_file: string | null;
  readonly error: string | null;
  readonly started_at: string;
  readonly updated_at: string;
  readonly ended_at: string | null;
}

const RUN = `select b.run, b.name, b.source, b.file, b.dry_run, b.publish, b.rate, b.wanted, b.status, b.rows_read,
    case b.source when 'sql' then b.rows_read else (b.place ->> 'byte')::bigint end as done, b.total,
    p.accepted, p.repeated, p.events,
    (select count(*) from reprise.backfill_rejects r where r.run = b.run) as rejected,
    b.rejects_file, b.error, b.started_at, b.updated_at, b.ended_at
  from reprise.backfills b
  cross join lateral (
    select coalesce(sum(accepted), 0)::bigint as accepted, coalesce(sum(repeated), 0)::bigint as repeated,
           coalesce(sum(events), 0)::bigint as events
    from reprise.backfill_places p where p.run = b.run
  ) p`;

/** Of one run, by its id. */
export async function readBackfill(db: Pool, run: string): Promise<BackfillRun | undefined> {
  const { rows } = await db.query<BackfillRun>(`${RUN} where b.run = $1::uuid`, [run]);
  return rows[0];
}

/** The newest run of each name, or of one. */
export async function readNewestBackfills(db: Pool, name: string | null): Promise<BackfillRun[]> {
  const { rows } = await db.query<BackfillRun>(
    `${RUN} where b.run in (
       select distinct on (name) run from reprise.backfills where $1::text is null or name = $1::text
       order by name, started_at desc
     ) order by b.name`,
    [name],
  );
  return rows;
}

/** What a person may ask of a run while it runs. */
export interface BackfillWish {
  readonly wanted?: 'run' | 'pause' | 'cancel';
  /** Null: as many as go. */
  readonly rate?: number | null;
}

/** The owner looks at it before every transaction, so that it holds whatever becomes of workflow and worker. */
export async function steerBackfill(db: Pool, run: string, { wanted, rate }: BackfillWish): Promise<void> {
  await db.query(
    `update reprise.backfills
     set wanted = case when wanted = 'cancel' then wanted else coalesce($2::text, wanted) end,
         rate = case when $3::boolean then $4::integer else rate end
     where run = $1::uuid`,
    [run, wanted ?? null, rate !== undefined, rate ?? null],
  );
}

export interface Steering {
  readonly wanted: BackfillRun['wanted'];
  readonly rate: number | null;
  readonly epoch: number;
}

export async function readSteering(db: Pool, run: string): Promise<Steering | undefined> {
  const { rows } = await db.query<Steering>({
    name: 'backfill_steering',
    text: 'select wanted, rate, epoch from reprise.backfills where run = $1::uuid',
    values: [run],
  });
  return rows[0];
}

export interface NewBackfill {
  readonly run: string;
  readonly name: string;
  readonly source: string;
  readonly file: string | null;
  readonly fileStamp: string | null;
  readonly dryRun: boolean;
  readonly publish: boolean;
  readonly rate: number | null;
  readonly total: number | null;
  readonly rejectsFile: string | null;
  readonly place: object;
  readonly partitions: number;
}

/**
 * Makes a run, and ends those of its name that nobody ended: their workflow is gone, since the new one has its id.
 * A second call changes nothing.
 */
export async function openBackfill(tx: PoolClient, made: NewBackfill): Promise<void> {
  const { rowCount } = await tx.query(
    `insert into reprise.backfills
       (run, name, source, file, file_stamp, dry_run, publish, rate, total, rejects_file, place)
     values ($1::uuid, $2::text, $3::text, $4::text, $5::text, $6::boolean, $7::boolean, $8::integer, $9::bigint,
             $10::text, $11::jsonb)
     on conflict do nothing`,
    [
      ...[made.run, made.name, made.source, made.file, made.fileStamp, made.dryRun, made.publish, made.rate],
      ...[made.total, made.rejectsFile, JSON.stringify(made.place)],
    ],
  );
  if (rowCount === 0) return;
  await tx.query(
    `insert into reprise.backfill_places (run, partition, epoch)
     select $1::uuid, n, 0 from generate_series(0, $2::integer - 1) n`,
    [made.run, made.partitions],
  );
  const others = `select run from reprise.backfills where name = $1::text and run <> $2::uuid`;
  const of = [made.name, made.run];
  await tx.query(
    `update reprise.backfills set status = 'failed', error = 'a later run has begun', epoch = epoch + 1,
       ended_at = clock_timestamp()
     where status = 'running' and run in (${others})`,
    of,
  );
  await tx.query(`update reprise.backfill_places set epoch = epoch + 1 where run in (${others})`, of);
  await tx.query(`delete from reprise.backfill_rejects where run in (${others})`, of);
}

/** Where a run is, as its new owner takes it over. */
export interface Taken extends Steering {
  readonly name: string;
  readonly file: string | null;
  readonly file_stamp: string | null;
  readonly dry_run: boolean;
  readonly publish: boolean;
  readonly rejects_file: string | null;
  readonly place: unknown;
  readonly rows_read: number;
  /** Of each partition: how far the page at `place` is in already. */
  readonly through: ReadonlyMap<number, number>;
}

/** Fences the owner before, if it lives: it waits here for what that one has under way. */
export async function takeBackfill(tx: PoolClient, run: string): Promise<Taken | undefined> {
  const { rows } = await tx.query<Omit<Taken, 'through'>>(
    `update reprise.backfills set epoch = epoch + 1, updated_at = clock_timestamp()
     where run = $1::uuid and status = 'running'
     returning name, file, file_stamp, dry_run, publish, rejects_file, place, rows_read, wanted, rate, epoch`,
    [run],
  );
  const [taken] = rows;
  if (!taken) return undefined;
  const places = await tx.query<{ partition: number; through: number }>(
    'update reprise.backfill_places set epoch = $2::integer where run = $1::uuid returning partition, through',
    [run, taken.epoch],
  );
  return { ...taken, through: new Map(places.rows.map(({ partition, through }) => [partition, through])) };
}

/** How far a run is in one partition. */
export async function readThrough(db: Pool, run: string, partition: number): Promise<number> {
  const { rows } = await db.query<{ through: number }>(
    'select through from reprise.backfill_places where run = $1::uuid and partition = $2::smallint',
    [run, partition],
  );
  return rows[0]?.through ?? 0;
}

export type RejectRow = Readonly<{
  row: number;
  nth: number;
  line: number | null;
  id: string | null;
  entity: string | null;
  code: string;
  message: string | null;
}>;

/** A page is in. Throws when another owner has taken over; all of it or nothing. */
export async function passPage(tx: PoolClient, { run, epoch, place, rowsRead, rejects }: PagePassed): Promise<void> {
  const { rowCount } = await tx.query(
    `update reprise.backfills set place = $3::jsonb, rows_read = $4::bigint, updated_at = clock_timestamp()
     where run = $1::uuid and epoch = $2::integer`,
    [run, epoch, JSON.stringify(place), rowsRead],
  );
  if (rowCount === 0) throw new TakenOver();
  await insertRejects(tx, run, rejects);
}

export interface PagePassed {
  readonly run: string;
  readonly epoch: number;
  readonly place: object;
  readonly rowsRead: number;
  readonly rejects: readonly RejectRow[];
}

/** Another owner brings this run: whoever meets this ends, and what it did is not lost. */
export class TakenOver extends Error {
  override readonly name = 'TakenOver';
}

async function insertRejects(tx: PoolClient, run: string, rejects: readonly RejectRow[]): Promise<void> {
  if (rejects.length === 0) return;
  await tx.query(
    `insert into reprise.backfill_rejects (run, row, nth, line, id, entity, code, message)
     select $1::uuid, r.row, r.nth, r.line, r.id, r.entity, r.code, r.message
     from jsonb_to_recordset($2::jsonb) as r
       (row bigint, nth integer, line bigint, id text, entity text, code text, message text)`,
    [run, JSON.stringify(rejects)],
  );
}

/** Rejects in the order of their source, behind one: a page of them. */
export async function readRejects(
  db: Pool,
  run: string,
  { row, nth }: { readonly row: number; readonly nth: number },
  limit: number,
): Promise<RejectRow[]> {
  const { rows } = await db.query<RejectRow>(
    `select row, nth, line, id, entity, code, message from reprise.backfill_rejects
     where run = $1::uuid and (row, nth) > ($2::bigint, $3::integer) order by row, nth limit $4::integer`,
    [run, row, nth, limit],
  );
  return rows;
}

/** A rehearsal begins anew: what an attempt before counted goes. */
export async function forgetRehearsed(tx: PoolClient, run: string): Promise<void> {
  await tx.query('delete from reprise.backfill_rejects where run = $1::uuid', [run]);
  await tx.query(
    'update reprise.backfill_places set through = 0, accepted = 0, repeated = 0, events = 0 where run = $1::uuid',
    [run],
  );
}

/** What was rehearsed in a partition: counted as what is brought is, and nothing else. */
export interface Counted {
  readonly run: string;
  readonly epoch: number;
  readonly partition: number;
  readonly accepted: number;
  readonly repeated: number;
  readonly events: number;
}

export async function countRehearsed(tx: PoolClient, counted: Counted): Promise<void> {
  const { run, partition, epoch, accepted, repeated, events } = counted;
  const { rowCount } = await tx.query(
    `update reprise.backfill_places
     set accepted = accepted + $4::bigint, repeated = repeated + $5::bigint, events = events + $6::bigint
     where run = $1::uuid and partition = $2::smallint and epoch = $3::integer`,
    [run, partition, epoch, accepted, repeated, events],
  );
  if (rowCount === 0) throw new TakenOver();
}

/** Ends a run, and fences whoever still brings it: it waits here for what that one has under way. */
export async function endBackfill(
  tx: PoolClient,
  run: string,
  { status, error }: { readonly status: BackfillRun['status']; readonly error: string | null },
): Promise<void> {
  const { rowCount } = await tx.query(
    `update reprise.backfills set status = $2::text, error = $3::text, epoch = epoch + 1, updated_at = clock_timestamp(),
       ended_at = clock_timestamp()
     where run = $1::uuid and status = 'running'`,
    [run, status, error],
  );
  if (rowCount === 0) return;
  await tx.query('update reprise.backfill_places set epoch = epoch + 1 where run = $1::uuid', [run]);
}
