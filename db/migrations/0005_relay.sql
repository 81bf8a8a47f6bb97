-- The relay's login, and what a poison event leaves behind.

-- Each login sees and moves only the consumers of its own kind.
grant usage on schema reprise to reprise_relay;
grant select on identity, sinks, skips to reprise_relay;
grant select on sinks to reprise_project;   -- the consumers' worker starts every relay's workflow
grant select, delete on outbox to reprise_relay;
grant select, update on checkpoints to reprise_relay;
grant select, insert, update, delete on parked to reprise_relay;

alter table checkpoints enable row level security;
alter table parked enable row level security;
create policy projections_own on checkpoints to reprise_project using (consumer like 'projection/%');
create policy projections_own on parked to reprise_project using (consumer like 'projection/%');
create policy relays_own on checkpoints to reprise_relay using (consumer like 'relay/%');
create policy relays_own on parked to reprise_relay using (consumer like 'relay/%');
create policy all_of_them on checkpoints for select to reprise_read using (true);
create policy all_of_them on parked for select to reprise_read using (true);

-- A turn that began and neither moved a checkpoint nor ended: its process died, perhaps of an event.
alter table checkpoints add column unfinished integer not null default 0;
-- Tries of the event at next_offset alone, each counted before it begins.
alter table checkpoints add column tries integer not null default 0;

-- A parked entity that somebody asked to go on.
alter table parked add column redrive boolean not null default false;
alter table parked add column event_id uuid;
alter table parked add column last_at timestamptz not null default clock_timestamp();

-- One transaction declares a sink with its relay's checkpoints, so that no relay runs without a fence.
create function add_sink(a_sink text, a_kind text, some_options jsonb) returns boolean language plpgsql as $$
begin
  insert into reprise.sinks (sink, kind, options) values (a_sink, a_kind, some_options) on conflict do nothing;
  if not found then
    return false;
  end if;
  insert into reprise.checkpoints (consumer, generation, partition, next_offset)
  select 'relay/' || a_sink, 0, partition, null from reprise.partitions;
  return true;
end $$;

-- What it has not published yet is lost with it: how many is the answer; null when there is no such sink.
create function remove_sink(a_sink text) returns bigint language plpgsql as $$
declare
  lost bigint;
begin
  delete from reprise.sinks where sink = a_sink;
  if not found then
    return null;
  end if;
  delete from reprise.outbox where sink = a_sink;
  get diagnostics lost = row_count;
  delete from reprise.checkpoints where consumer = 'relay/' || a_sink;
  delete from reprise.parked where consumer = 'relay/' || a_sink;
  return lost;
end $$;

revoke execute on function add_sink(text, text, jsonb), remove_sink(text) from public;

-- A queue's rows die as fast as they are born: vacuumed by count, not by share, it stays as small as its backlog.
alter table outbox set (
  autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000, autovacuum_vacuum_cost_delay = 0,
  autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 100000
);
