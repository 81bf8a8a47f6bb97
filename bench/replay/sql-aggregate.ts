import type { Client } from 'pg';

/** What the database itself can do: one statement from the log to an empty table of order_summary's columns. */
export async function sumUp(owner: Client, table: string): Promise<void> {
  // All groups in memory: the default of 4 MB would write them to files and read them again.
  await owner.query(`set work_mem = '1GB'`);
  await owner.query(
    `insert into ${table}
     select entity_id,
            max(data ->> 'customerId') filter (where type = 'order.created'),
            (array['created', 'paid', 'shipped', 'cancelled'])[max(case type when 'order.created' then 1
              when 'order.paid' then 2 when 'order.shipped' then 3 when 'order.cancelled' then 4 end)],
            max(data ->> 'currency') filter (where type = 'order.created'),
            max((data ->> 'totalMinor')::bigint) filter (where type = 'order.created'),
            max((data ->> 'freightMinor')::bigint) filter (where type = 'order.created'),
            max(jsonb_array_length(data -> 'lines')) filter (where type = 'order.created'),
            max((select sum((line -> 'quantity')::integer) from jsonb_array_elements(data -> 'lines') as line))
              filter (where type = 'order.created'),
            max(occurred_at) filter (where type = 'order.created'),
            max(occurred_at) filter (where type = 'order.paid'),
            max(occurred_at) filter (where type = 'order.shipped'),
            max(occurred_at) filter (where type = 'order.cancelled'),
            max(version)
     from reprise.events where entity_type = 'order' group by entity_id`,
  );
  await owner.query('reset work_mem');
}
