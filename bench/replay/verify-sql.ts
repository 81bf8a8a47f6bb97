import type { Client } from 'pg';

/** Two tables compared by one query: a hash of each row as text, those of a table put together. Rows of a table; throws when they differ. */
export async function compareByHash(owner: Client, one: string, other: string): Promise<number> {
  const { rows } = await owner.query<{ n: string; same: boolean }>(
    `with sums as (
       select 1 as which, count(*) as n, bit_xor(hashtextextended(t::text, 0)) as hash from ${one} t
       union all
       select 2, count(*), bit_xor(hashtextextended(t::text, 0)) from ${other} t)
     select a.n, (a.n, a.hash) is not distinct from (b.n, b.hash) as same
     from sums a join sums b on a.which = 1 and b.which = 2`,
  );
  if (!rows[0]?.same) throw new Error(`${one} and ${other} differ`);
  return Number(rows[0].n);
}
