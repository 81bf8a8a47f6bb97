import { DatabaseError, type PoolClient } from 'pg';
import { withTransaction } from '../../db/pool';
import type { Build } from '../../workflows/replay';
import { sinceVector } from './chosen';
import { refused } from './generations';
import { fence, type Part, type PartStanding } from './part';

// A tenth of a second each: nothing of ours holds a snapshot for long, and a pause or an end waits for no more.
const COPY_ROWS = 10_000;

const NOT_THERE = 'RP101';

/*
 * A copy is made of pages that are read one after the other, each as the table is then; so it is of no one moment. It
 * becomes one: whoever had an event since before the first page, or was held back at either end of it, is folded again up to
 * where the active generation stands behind the last page.
 */

/** Where the active generation stands before the first page, in one statement: its places, and whom it holds back. */
export async function beginCopy(tx: PoolClient, build: Build, source: number): Promise<void> {
  await tx.query(`with ${asActive} select`, [build.consumer, build.generation, source]);
}

const asActive = `moved as (
  update reprise.checkpoints b set next_offset = greatest(b.next_offset, l.next_offset)
  from reprise.checkpoints l
  where b.consumer = $1::text and b.generation = $2::integer
    and l.consumer = b.consumer and l.generation = $3::integer and l.partition = b.partition
), held as (
  insert into reprise.parked (consumer, generation, entity_type, entity_id, from_offset, event_id, error, fingerprint, attempts)
  select consumer, $2::integer, entity_type, entity_id, from_offset, event_id, error, fingerprint, attempts
  from reprise.parked where consumer = $1::text and generation = $3::integer
  on conflict do nothing
)`;

/** Copies what is not copied yet, page by page. A row counts against the rate as an event does. */
export async function copyRows(part: Part, standing: PartStanding): Promise<void> {
  for (;;) {
    await part.governor.pass(0);
    const rowsMax = part.governor.step ?? COPY_ROWS;
    const copied = await copyPage(part, rowsMax).catch(refuseGone);
    await part.governor.pass(copied);
    if (copied < rowsMax) break;
  }
  await endCopy(part, standing);
}

/** Another generation serves now: no further try would meet the one that was begun with. */
function refuseGone(error: unknown): never {
  throw error instanceof DatabaseError && error.code === NOT_THERE ? refused(error.message) : error;
}

async function copyPage(part: Part, rowsMax: number): Promise<number> {
  const { consumer, generation } = part.build;
  return withTransaction(part.db, async (tx) => {
    await fence(tx, part, new Set([0]), null);
    const { rows } = await tx.query<{ copied: number }>(
      `with page as (
         select p.* from reprise.replays r, reprise.copy_rows(r.consumer, r.generation, r.copied_to, $3::integer) p
         where r.consumer = $1::text and r.generation = $2::integer
       )
       update reprise.replays r set copied_to = coalesce(page.last_key, r.copied_to), rows_copied = r.rows_copied + page.copied
       from page where r.consumer = $1::text and r.generation = $2::integer
       returning page.copied`,
      [consumer, generation, rowsMax],
    );
    return rows[0]?.copied ?? 0;
  });
}

/** Where the active generation stands behind the last page becomes where this one does; what lies between is to be walked. */
async function endCopy(part: Part, { selection, source, to: began }: PartStanding): Promise<void> {
  const { db, build } = part;
  const since = await sinceVector(db, selection, began.length);
  const from = began.map((offset, partition) => Math.min(offset, since[partition] ?? offset));
  await withTransaction(db, async (tx) => {
    await fence(tx, part, new Set(began.keys()), began);
    const { rowCount } = await tx.query(
      `with ${asActive}
       update reprise.replays r set walk_from = $4::bigint[] from reprise.generations g
       where r.consumer = $1::text and r.generation = $2::integer
         and g.consumer = r.consumer and g.generation = $3::integer and g.status = 'active'`,
      [build.consumer, build.generation, source, from],
    );
    if (rowCount === 0) throw refused(`what generation ${build.generation} is a copy of is not active any more`);
  });
}
