import type { Client } from 'pg';

interface Read {
  readonly partition: number;
  readonly offset: string;
  readonly entity_id: string;
  readonly version: number;
  readonly type: string;
  readonly data: {
    readonly customerId: string;
    readonly currency: string;
    readonly totalMinor: number;
    readonly freightMinor: number;
    readonly lines: readonly { readonly quantity: number }[];
  };
  readonly occurred_at: string;
}

const TIME_OF: Readonly<Record<string, string>> = {
  'order.created': 'created_at',
  'order.paid': 'paid_at',
  'order.shipped': 'shipped_at',
  'order.cancelled': 'cancelled_at',
};

/** The simplest thing that can be restarted: per event one transaction of row, fold, row and checkpoint. */
export async function applyOneByOne(owner: Client, table: string, sample: number): Promise<void> {
  await owner.query('create temporary table one_checkpoint (partition smallint primary key, next_offset bigint)');
  const { rows: events } = await owner.query<Read>(
    `select partition, "offset"::text, entity_id, version, type, data, occurred_at::text
     from reprise.events e where entity_type = 'order' order by e.partition, e."offset" limit $1::integer`,
    [sample],
  );
  for (const event of events) {
    await owner.query('begin');
    await apply(owner, table, event);
    await owner.query('commit');
  }
  await owner.query('drop table one_checkpoint');
}

async function apply(owner: Client, table: string, event: Read): Promise<void> {
  const { rows } = await owner.query<Record<string, unknown>>({
    name: 'one_load',
    text: `select * from ${table} where order_id = $1::text for update`,
    values: [event.entity_id],
  });
  const row = fold(rows[0] ?? { order_id: event.entity_id }, event);
  await owner.query({
    name: 'one_write',
    text: `insert into ${table} select * from jsonb_populate_record(null::${table}, $1::jsonb)
           on conflict (order_id) do update set status = excluded.status, paid_at = excluded.paid_at,
             shipped_at = excluded.shipped_at, cancelled_at = excluded.cancelled_at, version = excluded.version`,
    values: [JSON.stringify(row)],
  });
  await owner.query({
    name: 'one_checkpoint',
    text: `insert into one_checkpoint values ($1::smallint, $2::bigint + 1)
           on conflict (partition) do update set next_offset = excluded.next_offset`,
    values: [event.partition, event.offset],
  });
}

function fold(row: Record<string, unknown>, { type, version, data, occurred_at }: Read): Record<string, unknown> {
  const time = TIME_OF[type];
  const moved = time
    ? { ...row, version, status: type.slice('order.'.length), [time]: occurred_at }
    : { ...row, version };
  if (type !== 'order.created') return moved;
  return {
    ...moved,
    customer_id: data.customerId,
    currency: data.currency,
    total_minor: data.totalMinor,
    freight_minor: data.freightMinor,
    lines: data.lines.length,
    units: data.lines.reduce((sum, { quantity }) => sum + quantity, 0),
  };
}
