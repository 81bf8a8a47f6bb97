-- Audits: a sample of entities folded again, one event at a time, and compared with what stands in the tables.

-- One row per run.
create table audits (
  consumer     text        not null collate "C",           -- 'projection/order_summary': whose rows it compares
  run          text        not null collate "C",           -- of its workflow: a second try begins again in the same row
  entity_types text[]      not null,                       -- whose states it compares
  entities     integer     not null default 0,             -- sampled
  compared     integer     not null default 0,             -- rows and states
  different    integer     not null default 0,             -- of them
  began_at     timestamptz not null default clock_timestamp(),
  ended_at     timestamptz,
  primary key (consumer, run)
);

-- What is not what its events fold to, as it was last seen. A row leaves when a later audit, or a repair, finds it right.
create table drifts (
  consumer   text        not null collate "C",             -- 'projection/order_summary' of a row, 'entity/order' of a state
  subject    text        not null collate "C",             -- the row's key, or the entity's id
  generation integer     not null,                         -- 0 of a state
  detail     text        not null,                         -- columns by name: values are where they are, and nowhere else
  since      timestamptz not null default clock_timestamp(),
  seen_at    timestamptz not null default clock_timestamp(),
  primary key (consumer, subject)
);

grant select, insert, update on audits to reprise_replay;
grant select, insert, update, delete on drifts to reprise_replay;
-- A repair takes back what an audit said.
grant select, delete on drifts to reprise_project;
