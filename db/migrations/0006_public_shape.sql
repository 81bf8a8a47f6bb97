-- What leaves may have a shape of its own: an event's row in the batch then carries `public_version` and `public_data`.
-- The function of 0002, with its last step taking them.
create or replace function reprise.commit(batch jsonb) returns table (in_partition smallint, head_before bigint)
language plpgsql
-- Plans are cached while the tables are small: without these a scan of the whole table stays, and the rate falls with it
-- (3,900 commits/s fell to 1,000 after 30,000 rows).
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  moved  boolean;
  now_at timestamptz;
  share  record;
  raised bigint;
  bases  bigint[];
  answered integer;
begin
  if batch ? 'lock_timeout' then
    perform set_config('lock_timeout', batch ->> 'lock_timeout', true);
  end if;

  -- 1. Every entity decided on, refusals and no-ops included, is locked and still where it was when decided on.
  select coalesce(bool_or(coalesce(e.version, 0) <> d.expected), false), max(e.updated_at) into moved, now_at
  from (
    select * from jsonb_to_recordset(batch -> 'entities') as r (entity_type text, entity_id text, expected integer)
    order by r.entity_type collate "C", r.entity_id collate "C"
  ) d
  left join lateral (
    select s.version, s.updated_at from reprise.entities s
    where s.entity_type = d.entity_type and s.entity_id = d.entity_id
    for update
  ) e on true;
  if moved then
    raise exception 'an entity moved since it was decided on' using errcode = 'RP001';
  end if;

  -- 2. One answer per command id. One recorded meanwhile is a moved version; only a failed one is replaced.
  insert into reprise.commands as known
    (entity_type, entity_id, command_id, body_hash, outcome, refusal_code, first_version, last_version, recorded_at)
  select c.entity_type, c.entity_id, c.command_id, decode(c.body_hash, 'hex'), c.outcome, c.code,
         c.first_version, c.last_version, clock_timestamp()
  from jsonb_to_recordset(batch -> 'commands') as c
    (entity_type text, entity_id text, command_id text, body_hash text, outcome text, code text,
     first_version integer, last_version integer)
  order by c.entity_type collate "C", c.entity_id collate "C", c.command_id collate "C"
  on conflict (entity_type, entity_id, command_id) do update
    set outcome = excluded.outcome, refusal_code = excluded.refusal_code, first_version = excluded.first_version,
        last_version = excluded.last_version, recorded_at = excluded.recorded_at
    where known.outcome = 'failed' and known.body_hash = excluded.body_hash;
  get diagnostics answered = row_count;
  if answered <> jsonb_array_length(batch -> 'commands') then
    raise exception 'a command was answered meanwhile' using errcode = 'RP001';
  end if;
  if jsonb_array_length(batch -> 'events') = 0 then
    return;
  end if;

  -- 3. The heads: last, in order, held to the end of the transaction.
  for share in
    select h.partition, h.events from jsonb_to_recordset(batch -> 'heads') as h (partition smallint, events integer)
    order by h.partition
  loop
    update reprise.partitions p set head = p.head + share.events where p.partition = share.partition
    returning p.head - share.events into raised;
    if raised is null then
      raise exception 'partition % does not exist', share.partition;
    end if;
    bases[share.partition + 1] := raised;
    in_partition := share.partition;
    head_before := raised;
    return next;
  end loop;
  -- Read after the heads are locked and never below an entity's last, so that a time names a prefix of its versions.
  now_at := greatest(clock_timestamp(), now_at);

  -- 4. State. A first row is inserted under its partition's head, so it never waits for another insert of itself.
  if jsonb_array_length(batch -> 'updates') > 0 then
    update reprise.entities e
    set version = d.version, published_version = d.published_version, state = d.state, definition = d.definition,
        updated_at = now_at
    from jsonb_to_recordset(batch -> 'updates') as d
      (entity_type text, entity_id text, version integer, published_version integer, state jsonb, definition integer)
    where e.entity_type = d.entity_type and e.entity_id = d.entity_id;
  end if;
  if jsonb_array_length(batch -> 'inserts') > 0 then
    insert into reprise.entities
      (entity_type, entity_id, version, published_version, state, definition, partition, updated_at)
    select d.entity_type, d.entity_id, d.version, d.published_version, d.state, d.definition, d.partition, now_at
    from jsonb_to_recordset(batch -> 'inserts') as d
      (entity_type text, entity_id text, version integer, published_version integer, state jsonb, definition integer,
       partition smallint);
  end if;

  -- 5. Facts.
  insert into reprise.events
    (partition, "offset", event_id, entity_type, entity_id, version, type, schema_version, data, meta, command_id,
     origin, published_after, occurred_at, recorded_at)
  select v.partition, bases[v.partition + 1] + v.position, v.event_id, v.entity_type, v.entity_id, v.version, v.type,
         v.schema_version, v.data, v.meta, v.command_id, batch ->> 'origin', v.published_after,
         coalesce(v.occurred_at, now_at), now_at
  from jsonb_to_recordset(batch -> 'events') as v
    (partition smallint, position integer, event_id uuid, entity_type text, entity_id text, version integer, type text,
     schema_version smallint, data jsonb, meta jsonb, command_id text, published_after integer,
     occurred_at timestamptz);

  -- 6. Messages, one per sink that is declared now.
  if not exists (select from reprise.sinks) then
    return;
  end if;
  insert into reprise.outbox (sink, partition, "offset", event_id, topic, key, message, created_at)
  select s.sink, v.partition, bases[v.partition + 1] + v.position, v.event_id, v.type, v.entity_id,
         jsonb_strip_nulls(jsonb_build_object(
           'specversion', '1.0', 'id', v.event_id, 'source', '/reprise/' || v.entity_type, 'type', v.type,
           'subject', v.entity_id, 'time', coalesce(v.occurred_at, now_at), 'datacontenttype', 'application/json',
           'dataschema', v.type || '/' || coalesce(v.public_version, v.schema_version), 'partitionkey', v.entity_type || '/' || v.entity_id,
           'correlationid', v.meta ->> 'correlationId', 'causationid', v.meta ->> 'causationId',
           'traceparent', v.meta ->> 'traceparent', 'entityversion', v.version, 'previousversion', v.published_after))
         || jsonb_build_object('data', case when v.public_version is null then v.data else v.public_data end),
         now_at
  from reprise.sinks s
  cross join jsonb_to_recordset(batch -> 'events') as v
    (partition smallint, position integer, event_id uuid, entity_type text, entity_id text, version integer, type text,
     schema_version smallint, data jsonb, public_version smallint, public_data jsonb, meta jsonb, published_after integer,
     occurred_at timestamptz)
  where v.published_after is not null;
end $$;
