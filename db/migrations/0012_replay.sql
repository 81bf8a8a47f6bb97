-- Replay: read models built again beside the live ones, and put in their place.

-- Tables as projections declare them. `migrate` writes them, whose login makes tables anyway; whoever builds a generation
-- makes it of what stands here and can name nothing else.
create table declarations (
  consumer         text        not null collate "C",
  declared_version integer     not null,
  table_body       text        not null,
  indexes          text[]      not null,
  declared_at      timestamptz not null default clock_timestamp(),
  primary key (consumer, declared_version)
);

create unique index generations_one_building on generations (consumer) where status = 'building';

-- One row per generation that a replay builds: what is asked of it, and how far it is. Kept when it has ended.
create table replays (
  consumer    text        not null collate "C",
  generation  integer     not null,
  phase       text        not null default 'filling' check (phase in
                ('filling', 'verifying', 'different', 'verified', 'switched', 'rolled-back', 'dropped', 'cancelled')),
  wanted      text        not null default 'run' check (wanted in ('run', 'pause', 'cancel')),
  rate        integer     check (rate > 0),            -- events/s for all of it; null is no limit
  adaptive    boolean     not null default true,       -- slows when the live side suffers
  slices      smallint    not null default 1 check (slices > 0),
  actor       text        not null,
  per_second  real,                                    -- measured, over the last second or so
  bounded_by  text,                                    -- what slows it now; null: nothing
  error       text,                                    -- of the last try that failed; null when it went on
  report      jsonb,                                   -- of the last verification
  -- Of one that folds only some entities again, in a copy of the active generation; null: the whole log.
  selection       jsonb,
  copy_of         integer,
  copied_to       text,                                -- the last key of the copy
  rows_copied     bigint  not null default 0,
  walk_from       bigint[],                            -- offset per partition that entities are looked for from; null: being copied
  refolded_to     bigint[],                            -- behind the last entities that were folded again
  entities_total  bigint,
  entities_done   bigint  not null default 0,
  entity_events   bigint  not null default 0,          -- of those done
  began_at    timestamptz not null default clock_timestamp(),
  moved_at    timestamptz not null default clock_timestamp(),
  ended_at    timestamptz,
  primary key (consumer, generation)
);

-- How the live side is: each worker writes its own row, at most once a second while busy.
create table vitals (
  process       text        primary key collate "C",
  at            timestamptz not null default clock_timestamp(),
  commit_p99_ms real        not null,                  -- of the commits since the row before
  waiting       integer     not null                   -- calls that wait for a connection, at its worst since then
);

/* Makes a generation's table of its declaration, with checkpoints at the first event. Indexes beside the primary key come
   later where a table is filled first. */
create function create_generation(a_consumer text, a_version integer, a_status text) returns integer
language plpgsql security definer set search_path = reprise, pg_temp as $$
declare
  declared declarations;
  fresh    integer;
  made     text;
begin
  select * into declared from declarations where consumer = a_consumer and declared_version = a_version;
  if not found then
    raise exception '% of version % is not declared: run ''reprise migrate'' with this model', a_consumer, a_version using errcode = 'RP101';
  end if;
  if a_status not in ('building', 'active') then raise exception 'a generation begins as building or active'; end if;
  perform pg_advisory_xact_lock(hashtextextended('generations of ' || a_consumer, 0));
  select coalesce(max(generation), 0) + 1 into fresh from generations where consumer = a_consumer;
  made := substr(a_consumer, length('projection/') + 1) || '__g' || fresh;
  insert into generations (consumer, generation, declared_version, status, table_name)
  values (a_consumer, fresh, a_version, a_status, made);
  execute format('create table read.%I (%s)', made, declared.table_body);
  insert into checkpoints (consumer, generation, partition, next_offset)
  select a_consumer, fresh, partition, 1 from partitions;
  execute format('grant select on read.%I to reprise_read', made);
  if a_status = 'building' then
    execute format('grant select, insert, update, delete on read.%I to reprise_replay', made);
    return fresh;
  end if;
  execute format('grant select, insert, update, delete on read.%I to reprise_project', made);
  execute format('create view read.%I as select * from read.%I', substr(a_consumer, length('projection/') + 1), made);
  execute format('grant select on read.%I to reprise_read', substr(a_consumer, length('projection/') + 1));
  perform index_generation(a_consumer, fresh);
  return fresh;
end $$;

create function index_generation(a_consumer text, a_generation integer) returns void
language plpgsql security definer set search_path = reprise, pg_temp as $$
declare
  build generations;
  body  text;
  nth   bigint;
begin
  select * into strict build from generations where consumer = a_consumer and generation = a_generation;
  for body, nth in
    select i.body, i.nth from declarations d, unnest(d.indexes) with ordinality as i (body, nth)
    where d.consumer = a_consumer and d.declared_version = build.declared_version
  loop
    -- By name, so that a second run after a crash makes none twice.
    execute format('create index if not exists %I on read.%I %s', build.table_name || '_' || nth, build.table_name, body);
  end loop;
  execute format('analyze read.%I', build.table_name);
end $$;

/* Copies the next rows, by key, of the generation that a build is a copy of. Answers the last key, null behind the last row,
   and how many they were. Each call sees the table as it is then: whatever moved since the first is folded again later. */
create function copy_rows(a_consumer text, a_generation integer, a_after text, a_rows integer)
  returns table (last_key text, copied bigint)
language plpgsql security definer set search_path = reprise, pg_temp as $$
declare
  build    generations;
  source   generations;
  names    text;
  key      name;
  key_type text;
begin
  select * into strict build from generations
  where consumer = a_consumer and generation = a_generation and status = 'building';
  select g.* into source from replays r join generations g on g.consumer = r.consumer and g.generation = r.copy_of
  where r.consumer = a_consumer and r.generation = a_generation
    and g.status = 'active' and g.declared_version = build.declared_version;
  if not found then
    raise exception 'what generation % of % is a copy of is not active any more', a_generation, a_consumer using errcode = 'RP101';
  end if;
  select string_agg(quote_ident(attname), ', ' order by attnum) into names from pg_attribute
  where attrelid = format('read.%I', source.table_name)::regclass and attnum > 0 and not attisdropped and attgenerated = '';
  select a.attname, format_type(a.atttypid, a.atttypmod) into strict key, key_type
  from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
  where i.indrelid = format('read.%I', source.table_name)::regclass and i.indisprimary;
  return query execute format(
    'with page as (
       insert into read.%1$I (%2$s) select %2$s from read.%3$I where $1 is null or %4$I > $1::%5$s order by %4$I limit $2
       returning %4$I as key
     )
     select (select key::text from page order by key desc limit 1), (select count(*) from page)',
    build.table_name, names, source.table_name, key, key_type) using a_after, a_rows;
end $$;

/* Locks the checkpoints of whatever is active, in order, and says where they stand. Its consumer waits until the caller's
   transaction ends. */
create function lock_active(a_consumer text)
  returns table (partition smallint, next_offset bigint)
language sql security definer set search_path = reprise, pg_temp set lock_timeout = '3s' as $$
  select c.partition, c.next_offset from checkpoints c
  where c.consumer = a_consumer
    and c.generation = (select generation from generations where consumer = a_consumer and status = 'active')
  order by c.partition for update
$$;

/* Puts a generation in the place of the active one, which stands by from then on. Refuses what would make a reader go back.
   RP102: it is behind; RP103: entities are parked for it; RP104: its columns do not fit the view. */
create function switch_generation(a_consumer text, a_generation integer, a_reshape boolean) returns integer
language plpgsql security definer set search_path = reprise, pg_temp set lock_timeout = '3s' as $$
declare
  live   generations;
  next   generations;
  shown  text := substr(a_consumer, length('projection/') + 1);
  held   bigint;
  reader record;
  acl    aclitem[];
begin
  select * into strict live from generations where consumer = a_consumer and status = 'active' for update;
  select * into next from generations
  where consumer = a_consumer and generation = a_generation and status in ('building', 'standby') for update;
  if not found then
    raise exception '% has no generation % to switch to', a_consumer, a_generation using errcode = 'RP101';
  end if;
  perform from checkpoints where consumer = a_consumer and generation = live.generation order by partition for update;
  perform from checkpoints where consumer = a_consumer and generation = next.generation order by partition for update;
  if exists (
    select from checkpoints o join checkpoints n using (consumer, partition)
    where o.consumer = a_consumer and o.generation = live.generation and n.generation = next.generation
      and n.next_offset < o.next_offset
  ) then
    raise exception 'generation % of % is behind the active one', a_generation, a_consumer using errcode = 'RP102';
  end if;
  select count(*) into held from parked k
  where consumer = a_consumer and generation = a_generation
    and not exists (select from skips s where s.consumer = k.consumer and s.event_id = k.event_id);
  if held > 0 then
    raise exception '% entities are parked for generation % of %', held, a_generation, a_consumer using errcode = 'RP103';
  end if;
  update generations set status = 'standby' where consumer = a_consumer and generation = live.generation;
  update generations set status = 'active' where consumer = a_consumer and generation = next.generation;
  execute format('grant select, insert, update, delete on read.%I to reprise_project', next.table_name);
  execute format('grant select on read.%I to reprise_read', next.table_name);
  execute format('revoke all on read.%I from reprise_replay', next.table_name);
  select relacl into acl from pg_class where oid = format('read.%I', shown)::regclass;
  if a_reshape then execute format('drop view read.%I', shown); end if;
  begin
    execute format('create or replace view read.%I as select * from read.%I', shown, next.table_name);
  exception when invalid_table_definition then
    raise exception 'read.% would lose or change a column: %', shown, sqlerrm using errcode = 'RP104';
  end;
  execute format('grant select on read.%I to reprise_read', shown);
  for reader in select grantee::regrole as who from aclexplode(acl) where privilege_type = 'SELECT' and grantee <> 0 loop
    execute format('grant select on read.%I to %s', shown, reader.who);
  end loop;
  return live.generation;
end $$;

/* Seconds the slowest replica is behind; null: there is none, or this database's owner may not know. */
create function replication_lag_seconds() returns double precision
language sql security definer set search_path = reprise, pg_temp as $$
  select extract(epoch from max(replay_lag))::double precision from pg_stat_replication
$$;

/* Removes a generation that nobody reads: its table, its places, what is parked for it. That it was there stays. */
create function drop_generation(a_consumer text, a_generation integer) returns void
language plpgsql security definer set search_path = reprise, pg_temp set lock_timeout = '3s' as $$
declare
  gone generations;
begin
  select * into gone from generations where consumer = a_consumer and generation = a_generation for update;
  if not found or gone.status = 'dropped' then return; end if;
  if gone.status = 'active' then
    raise exception 'generation % of % is the active one', a_generation, a_consumer using errcode = 'RP101';
  end if;
  update generations set status = 'dropped' where consumer = a_consumer and generation = a_generation;
  execute format('drop table read.%I', gone.table_name);
  delete from parked where consumer = a_consumer and generation = a_generation;
  delete from checkpoints where consumer = a_consumer and generation = a_generation;
end $$;

revoke execute on function create_generation(text, integer, text), index_generation(text, integer), lock_active(text),
  switch_generation(text, integer, boolean), drop_generation(text, integer), copy_rows(text, integer, text, integer),
  replication_lag_seconds() from public;
grant execute on function create_generation(text, integer, text), index_generation(text, integer), lock_active(text),
  switch_generation(text, integer, boolean), drop_generation(text, integer), copy_rows(text, integer, text, integer),
  replication_lag_seconds() to reprise_replay;

-- The log and its own; no outbox, no entities, no commands, no live read model.
grant usage on schema reprise, read to reprise_replay;
grant select on identity, migrations, partitions, events, generations, declarations, skips, vitals, lag to reprise_replay;
grant select, insert, update on replays to reprise_replay;
grant select, update on checkpoints to reprise_replay;
grant select, insert, update, delete on parked to reprise_replay;
grant execute on function words(text[]) to reprise_replay;
grant select, insert, update, delete on vitals to reprise_commit;

-- Of read models it sees every place, for their lag, and moves only what it builds.
create policy replays_see on checkpoints for select to reprise_replay using (consumer like 'projection/%');
create policy replays_own on checkpoints for update to reprise_replay
  using (exists (select from generations g
                 where g.consumer = checkpoints.consumer and g.generation = checkpoints.generation and g.status = 'building'));
create policy replays_see on parked for select to reprise_replay using (consumer like 'projection/%');
create policy replays_own on parked to reprise_replay
  using (exists (select from generations g
                 where g.consumer = parked.consumer and g.generation = parked.generation and g.status = 'building'));
