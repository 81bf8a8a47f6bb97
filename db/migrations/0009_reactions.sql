-- Reactions: what was started by which event, and whether it has ended. The row is there before the start.

create table reactions (
  reaction    text        not null collate "C",
  entity_type text        not null collate "C",
  entity_id   text        not null collate "C",
  version     integer     not null check (version > 0),      -- of the event that started it
  event_id    uuid        not null,
  partition   smallint    not null,
  "offset"    bigint      not null,
  status      text        not null default 'open' check (status in ('open', 'done', 'parked', 'skipped')),
  run         integer     not null default 0 check (run >= 0),   -- 0: the first; n: the nth time it was started again
  attempts    integer     not null default 0,                -- of the run that ended
  error       text,
  started_at  timestamptz not null default clock_timestamp(),
  ended_at    timestamptz,
  primary key (reaction, entity_type, entity_id, version)
);
-- Which have not ended? Few at any time, of many that have.
create index reactions_not_done on reactions (reaction, entity_type, entity_id, version) where status in ('open', 'parked');

-- Who had a reaction run again by hand, and why.
create table reruns (
  reaction    text        not null collate "C",
  entity_type text        not null collate "C",
  entity_id   text        not null collate "C",
  version     integer     not null,
  run         integer     not null,
  reason      text        not null check (reason <> ''),
  actor       text        not null,
  at          timestamptz not null default clock_timestamp(),
  primary key (reaction, entity_type, entity_id, version, run)
);

grant usage on schema reprise to reprise_react;
grant select on identity, partitions, events, skips to reprise_react;
grant select, insert, update on reactions to reprise_react;
grant select, insert, update on checkpoints to reprise_react;
grant select, insert, update, delete on parked to reprise_react;
create policy reactions_own on checkpoints to reprise_react using (consumer like 'reaction/%');
create policy reactions_own on parked to reprise_react using (consumer like 'reaction/%');
grant select on reactions, reruns to reprise_read;
