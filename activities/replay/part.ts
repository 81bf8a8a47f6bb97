import type { Pool, PoolClient } from 'pg';
import type { Build, Selection } from '../../workflows/replay';
import { Fenced, lockPositions } from '../tail/checkpoints';
import type { Place, Vector } from './chosen';
import type { Filling } from './filling';
import { whyItStands } from './group';

/** What a process has while it folds some entities of a generation again. */
export interface Part extends Filling {
  readonly build: Build;
}

/** Where it stands, as its row and its checkpoints have it. */
export interface PartStanding {
  readonly selection: Selection;
  /** The generation it is a copy of. */
  readonly source: number;
  /** Where entities are looked for from; null: rows are still being copied. */
  readonly walkFrom: Vector | null;
  readonly place: Place;
  /** How many entities there are to fold; null: not counted yet. */
  readonly total: number | null;
  /** Its checkpoints: of the start of the copy, and from its end on those that entities are folded to. */
  readonly to: Vector;
}

/** Null: the whole log is folded. */
export async function readPart(db: Pick<Pool, 'query'>, { consumer, generation }: Build): Promise<PartStanding | null> {
  const { rows } = await db.query<{
    selection: Selection | null;
    source: number;
    total: number | null;
    from: string[] | null;
    place: string[] | null;
    to: string[];
  }>(
    `select r.selection, r.copy_of as source, r.entities_total as total, r.walk_from as "from", r.refolded_to as place,
            (select array_agg(c.next_offset order by c.partition) from reprise.checkpoints c
             where c.consumer = r.consumer and c.generation = r.generation) as to
     from reprise.replays r where r.consumer = $1::text and r.generation = $2::integer`,
    [consumer, generation],
  );
  const [row] = rows;
  if (!row?.selection) return null;
  const [source = 0, at = 0, offset = 0] = (row.place ?? []).map(Number);
  return {
    selection: row.selection,
    source: row.source,
    total: row.total,
    walkFrom: row.from?.map(Number) ?? null,
    place: [source as Place[0], at, offset],
    to: row.to.map(Number),
  };
}

/** Locks these checkpoints. Throws `Fenced` for a zombie, and where they do not stand where they did. */
export async function fence(
  tx: PoolClient,
  { projector, epoch }: Part,
  partitions: ReadonlySet<number>,
  to: Vector | null,
): Promise<void> {
  const locked = await lockPositions(
    tx,
    projector,
    epoch,
    [...partitions].sort((a, b) => a - b),
  );
  if (locked.length < partitions.size) throw new Error(await whyItStands(tx, projector));
  if (to && locked.some(({ partition, nextOffset }) => nextOffset !== to[partition]))
    throw new Fenced(
      `${projector.consumer}, generation ${projector.generation}: its checkpoints moved while it was folded`,
    );
}
