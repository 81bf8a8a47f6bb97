-- A sink comes and goes between commits, never beside one. A commit reads `sinks` in a statement of its own after it has
-- locked its heads, and in READ COMMITTED each statement of a function has a snapshot of its own: whoever holds all heads
-- knows that every commit before has ended, and that every later one sees what he did.

-- A commit that waits for a head waits for this too: better to give up soon and come again.
create or replace function add_sink(a_sink text, a_kind text, some_options jsonb) returns boolean language plpgsql
set lock_timeout = '1s'
as $$
begin
  perform 1 from reprise.partitions order by partition for update;
  -- Read under the heads: every event recorded from then on has its row.
  insert into reprise.sinks (sink, kind, options, since) values (a_sink, a_kind, some_options, clock_timestamp())
  on conflict do nothing;
  if not found then
    return false;
  end if;
  insert into reprise.checkpoints (consumer, generation, partition, next_offset)
  select 'relay/' || a_sink, 0, partition, null from reprise.partitions;
  return true;
end $$;

-- What it has not published yet is lost with it: how many is the answer; null when there is no such sink.
create or replace function remove_sink(a_sink text) returns bigint language plpgsql
set lock_timeout = '1s'
as $$
declare
  lost bigint;
  rest bigint;
begin
  perform 1 from reprise.sinks where sink = a_sink for update;
  if not found then
    return null;
  end if;
  -- A backlog of millions goes before the heads are taken; under them only what was committed meanwhile.
  delete from reprise.outbox where sink = a_sink;
  get diagnostics lost = row_count;
  perform 1 from reprise.partitions order by partition for update;
  delete from reprise.outbox where sink = a_sink;
  get diagnostics rest = row_count;
  delete from reprise.sinks where sink = a_sink;
  delete from reprise.checkpoints where consumer = 'relay/' || a_sink;
  delete from reprise.parked where consumer = 'relay/' || a_sink;
  return lost + rest;
end $$;

-- Left by removals beside a commit. A new sink of that name would publish them.
delete from outbox o where not exists (select from sinks s where s.sink = o.sink);

-- What an operator should know about the broker, as its relay found it last: a JSON array of sentences.
alter table sinks add column warnings jsonb not null default '[]' check (jsonb_typeof(warnings) = 'array');
grant update (warnings) on sinks to reprise_relay;
