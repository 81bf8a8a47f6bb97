-- The truth: partitions, events, entities, commands, outbox. Written only by reprise.commit (0002).

-- One row: which database this is (checked against the Temporal namespace), and into how many partitions its log is cut.
create table identity (
  only_row   boolean primary key default true check (only_row),
  id         uuid not null default gen_random_uuid(),
  partitions smallint not null check (partitions between 1 and 4096),
  created_at timestamptz not null default clock_timestamp()
);

-- The head of each partition. A commit raises it as its last lock and holds the row to its end:
-- offset order is commit order, and a rolled-back commit leaves no gap.
create table partitions (
  partition smallint primary key,
  head      bigint not null default 0 check (head >= 0)
) with (fillfactor = 10);   -- updated by every commit: room for many versions on one page keeps the updates HOT

-- Facts, in the order each entity lived them. Append only: no row is ever updated or deleted.
create table events (
  partition       smallint    not null,
  "offset"        bigint      not null check ("offset" > 0),   -- gapless per partition, in commit order
  event_id        uuid        not null,
  entity_type     text        not null collate "C",
  entity_id       text        not null collate "C",
  version         integer     not null check (version > 0),    -- 1..n per entity, gapless
  type            text        not null,
  schema_version  smallint    not null,
  data            jsonb       not null,
  meta            jsonb       not null,
  command_id      text        not null,
  origin          text        not null check (origin in ('live', 'backfill')),
  published_after integer,                                     -- the version published before; null: not published
  occurred_at     timestamptz not null,
  recorded_at     timestamptz not null,
  primary key (partition, "offset"),
  unique (entity_type, entity_id, version)                     -- an entity's history, in order
);

create function refuse_change() returns trigger language plpgsql as $$
begin
  raise exception 'reprise.% is append only', tg_table_name using errcode = 'insufficient_privilege';
end $$;

create trigger events_append_only before update or delete on events
  for each row execute function refuse_change();
create trigger events_no_truncate before truncate on events
  for each statement execute function refuse_change();

-- Current state: the fold of an entity's events by the definition that is named. Rebuilt from events at any time.
create table entities (
  entity_type       text        not null collate "C",
  entity_id         text        not null collate "C",
  version           integer     not null check (version > 0),
  published_version integer     not null,                      -- the last version that was published; 0: none
  state             jsonb       not null,
  definition        integer     not null,
  partition         smallint    not null,
  updated_at        timestamptz not null,                      -- recorded_at of its last event
  primary key (entity_type, entity_id)
) with (fillfactor = 70);

-- Every answered command: the only dedup there is.
create table commands (
  entity_type   text        not null collate "C",
  entity_id     text        not null collate "C",
  command_id    text        not null collate "C",
  body_hash     bytea       not null,
  outcome       text        not null check (outcome in ('accepted', 'refused', 'failed')),
  refusal_code  text,                                          -- of a refusal or a failure
  first_version integer,                                       -- null: no events
  last_version  integer     not null,                          -- the version it was answered at; 0: an entity without events
  recorded_at   timestamptz not null,
  primary key (entity_type, entity_id, command_id)
);

-- Where published events go. A row here is what makes a commit write outbox rows.
create table sinks (
  sink       text primary key collate "C",
  kind       text        not null,
  options    jsonb       not null default '{}',
  since      timestamptz not null default clock_timestamp()
);

-- Messages waiting to be published. Ordered, not gapless; a row leaves after the broker's acknowledgement.
create table outbox (
  sink       text        not null collate "C",
  partition  smallint    not null,
  "offset"   bigint      not null,
  event_id   uuid        not null,
  topic      text        not null collate "C",
  key        text        not null collate "C",
  message    jsonb       not null,
  created_at timestamptz not null,
  primary key (sink, partition, "offset", topic)
);
