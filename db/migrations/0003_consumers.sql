-- Consumers of the log: projections now, reactions, relays and feeds by the same tables.

-- One physical build of a projection. A switch changes which one is active, never the rows of a live one.
create table generations (
  consumer         text        not null collate "C",   -- 'projection/order_summary'
  generation       integer     not null check (generation > 0),
  declared_version integer     not null,               -- of the fold that may feed it
  status           text        not null check (status in ('building', 'active', 'standby', 'dropped')),
  table_name       text        not null,               -- in schema read
  created_at       timestamptz not null default clock_timestamp(),
  primary key (consumer, generation)
);
create unique index generations_one_active on generations (consumer) where status = 'active';

-- Where each consumer stands, moved in the transaction of what it covers. Rows leave with their generation.
create table checkpoints (
  consumer    text        not null collate "C",
  generation  integer     not null,                    -- 0 for consumers that build nothing
  partition   smallint    not null,
  next_offset bigint      check (next_offset > 0),     -- null for relays, which keep no position
  epoch       bigint      not null default 0,          -- raised by each new owner; a write under an older one is refused
  status      text        not null default 'running' check (status in ('running', 'paused', 'parked-full', 'behind-code')),
  error       text,
  updated_at  timestamptz not null default clock_timestamp(),
  primary key (consumer, generation, partition)
) with (fillfactor = 50);

-- Entities held back for one consumer after a failure, while others go on.
create table parked (
  consumer    text        not null collate "C",
  generation  integer     not null,
  entity_type text        not null collate "C",
  entity_id   text        not null collate "C",
  from_offset bigint      not null,                    -- the first event not applied
  error       text        not null,
  fingerprint text        not null,                    -- equal for failures of one kind
  attempts    integer     not null,
  since       timestamptz not null default clock_timestamp(),
  primary key (consumer, generation, entity_type, entity_id)
);

-- Events a consumer passes over, by decision of a person; every later generation and replay honours them.
create table skips (
  consumer text        not null collate "C",
  event_id uuid        not null,
  reason   text        not null check (reason <> ''),
  actor    text        not null,
  at       timestamptz not null default clock_timestamp(),
  primary key (consumer, event_id)
);

-- Exact lag: events not applied, and the age of the oldest of them. True also while a consumer is dead.
create view lag as
select c.consumer, c.generation, c.partition, p.head, c.next_offset, c.status,
       p.head + 1 - c.next_offset as lag_events,
       (select extract(epoch from clock_timestamp() - e.recorded_at) from events e
        where e.partition = c.partition and e."offset" = c.next_offset) as lag_seconds
from checkpoints c join partitions p on p.partition = c.partition
where c.next_offset is not null;
