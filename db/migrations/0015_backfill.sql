-- Backfill: bringing history from elsewhere into the log. What was brought is told apart by `commands` alone; these tables
-- say how far a run is, and what it rejected, each moved in the transaction of what it is about.

-- A run of a backfill. `source` and `file` say where from; never an address, which may hold a password.
create table backfills (
  run           uuid primary key,
  name          text        not null collate "C",
  source        text        not null check (source in ('csv', 'ndjson', 'sql')),
  file          text,                                        -- on the worker's machine; null: a query
  file_stamp    text,                                        -- its size and time: a changed file is not gone on with
  dry_run       boolean     not null,
  publish       boolean     not null,
  rate          integer     check (rate > 0),                -- commands a second at most; null: as many as go
  wanted        text        not null default 'run' check (wanted in ('run', 'pause', 'cancel')),
  status        text        not null default 'running' check (status in ('running', 'done', 'cancelled', 'failed')),
  epoch         integer     not null default 0,              -- raised by each new owner: fences the one before
  place         jsonb       not null,                        -- behind the last whole page
  total         bigint,                                      -- bytes of a file, rows of a query; null: not known
  rows_read     bigint      not null default 0,
  rejects_file  text,                                        -- on the worker's machine
  error         text,
  started_at    timestamptz not null default clock_timestamp(),
  updated_at    timestamptz not null default clock_timestamp(),
  ended_at      timestamptz
);
-- The newest run of a name?
create index backfills_newest on backfills (name, started_at desc);

-- How far a run is in each partition, in the page it is at. One partition per transaction, its place in it.
create table backfill_places (
  run       uuid     not null references backfills on delete cascade,
  partition smallint not null,
  epoch     integer  not null,
  through   bigint   not null default 0,                     -- row * 1,000 + nth in it, of the last one answered
  accepted  bigint   not null default 0,
  repeated  bigint   not null default 0,                     -- brought before, by this run or an earlier one
  events    bigint   not null default 0,
  primary key (run, partition)
);

-- Rows, or commands of a row, that were not taken. Written to the rejects file when a run ends.
create table backfill_rejects (
  run     uuid    not null references backfills on delete cascade,
  row     bigint  not null,
  nth     integer not null,                                  -- of the commands of its row; -1: the row as a whole
  line    bigint,                                            -- of the file, where the row begins
  id      text,
  entity  text,
  code    text    not null,
  message text,
  primary key (run, row, nth)
);

-- reprise.commit, and the run's place in the partition beside it. Raises RP002 when another owner has taken over.
-- The place is locked first: only owners of one run meet there, and a zombie then waits before it holds anything.
create function commit_backfill(batch jsonb, part jsonb) returns table (in_partition smallint, head_before bigint)
language plpgsql
as $$
begin
  update reprise.backfill_places p
  set through = (part ->> 'through')::bigint,
      accepted = accepted + (part ->> 'accepted')::bigint,
      repeated = repeated + (part ->> 'repeated')::bigint,
      events = events + (part ->> 'events')::bigint
  where p.run = (part ->> 'run')::uuid and p.partition = (part ->> 'partition')::smallint
    and p.epoch = (part ->> 'epoch')::integer and p.through < (part ->> 'through')::bigint;
  if not found then
    raise exception 'another owner brings this backfill' using errcode = 'RP002';
  end if;
  insert into reprise.backfill_rejects (run, row, nth, line, id, entity, code, message)
  select (part ->> 'run')::uuid, r.row, r.nth, r.line, r.id, r.entity, r.code, r.message
  from jsonb_to_recordset(part -> 'rejects') as r
    (row bigint, nth integer, line bigint, id text, entity text, code text, message text);
  return query select c.in_partition, c.head_before from reprise.commit(batch) c;
end $$;

revoke execute on function commit_backfill(jsonb, jsonb) from public;
grant execute on function commit_backfill(jsonb, jsonb) to reprise_commit;
grant select, insert, update on backfills, backfill_places to reprise_commit;
grant select, insert, delete on backfill_rejects to reprise_commit;
grant select on backfills, backfill_places, backfill_rejects to reprise_read;
