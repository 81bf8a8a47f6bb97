-- What the migrations make of an empty database. Written by `reprise schema`, compared by `npm run check`.

-- tables
table reprise.checkpoints with (fillfactor=50)
  consumer text collate "C" not null
  generation integer not null
  partition smallint not null
  next_offset bigint
  epoch bigint not null default 0
  status text not null default 'running'::text
  error text
  updated_at timestamp with time zone not null default clock_timestamp()
  unfinished integer not null default 0
  tries integer not null default 0
table reprise.commands
  entity_type text collate "C" not null
  entity_id text collate "C" not null
  command_id text collate "C" not null
  body_hash bytea not null
  outcome text not null
  refusal_code text
  first_version integer
  last_version integer not null
  recorded_at timestamp with time zone not null
table reprise.declarations
  consumer text collate "C" not null
  declared_version integer not null
  table_body text not null
  indexes text[] not null
  declared_at timestamp with time zone not null default clock_timestamp()
table reprise.entities with (fillfactor=70)
  entity_type text collate "C" not null
  entity_id text collate "C" not null
  version integer not null
  published_version integer not null
  state jsonb not null
  definition integer not null
  partition smallint not null
  updated_at timestamp with time zone not null
table reprise.events
  partition smallint not null
  offset bigint not null
  event_id uuid not null
  entity_type text collate "C" not null
  entity_id text collate "C" not null
  version integer not null
  type text not null
  schema_version smallint not null
  data jsonb not null
  meta jsonb not null
  command_id text not null
  origin text not null
  published_after integer
  occurred_at timestamp with time zone not null
  recorded_at timestamp with time zone not null
table reprise.generations
  consumer text collate "C" not null
  generation integer not null
  declared_version integer not null
  status text not null
  table_name text not null
  created_at timestamp with time zone not null default clock_timestamp()
table reprise.identity
  only_row boolean not null default true
  id uuid not null default gen_random_uuid()
  partitions smallint not null
  created_at timestamp with time zone not null default clock_timestamp()
table reprise.migrations
  id integer not null
  name text not null
  checksum text not null
  applied_at timestamp with time zone not null default now()
table reprise.outbox with (autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=10000, autovacuum_vacuum_cost_delay=0, autovacuum_vacuum_insert_scale_factor=0, autovacuum_vacuum_insert_threshold=100000)
  sink text collate "C" not null
  partition smallint not null
  offset bigint not null
  event_id uuid not null
  topic text collate "C" not null
  key text collate "C" not null
  message jsonb not null
  created_at timestamp with time zone not null
table reprise.parked
  consumer text collate "C" not null
  generation integer not null
  entity_type text collate "C" not null
  entity_id text collate "C" not null
  from_offset bigint not null
  error text not null
  fingerprint text not null
  attempts integer not null
  since timestamp with time zone not null default clock_timestamp()
  redrive boolean not null default false
  event_id uuid
  last_at timestamp with time zone not null default clock_timestamp()
table reprise.partitions with (fillfactor=10)
  partition smallint not null
  head bigint not null default 0
table reprise.reactions
  reaction text collate "C" not null
  entity_type text collate "C" not null
  entity_id text collate "C" not null
  version integer not null
  event_id uuid not null
  partition smallint not null
  offset bigint not null
  status text not null default 'open'::text
  run integer not null default 0
  attempts integer not null default 0
  error text
  started_at timestamp with time zone not null default clock_timestamp()
  ended_at timestamp with time zone
table reprise.replays
  consumer text collate "C" not null
  generation integer not null
  phase text not null default 'filling'::text
  wanted text not null default 'run'::text
  rate integer
  adaptive boolean not null default true
  slices smallint not null default 1
  actor text not null
  per_second real
  bounded_by text
  error text
  report jsonb
  selection jsonb
  copy_of integer
  copied_to text
  rows_copied bigint not null default 0
  walk_from bigint[]
  refolded_to bigint[]
  entities_total bigint
  entities_done bigint not null default 0
  entity_events bigint not null default 0
  began_at timestamp with time zone not null default clock_timestamp()
  moved_at timestamp with time zone not null default clock_timestamp()
  ended_at timestamp with time zone
table reprise.reruns
  reaction text collate "C" not null
  entity_type text collate "C" not null
  entity_id text collate "C" not null
  version integer not null
  run integer not null
  reason text not null
  actor text not null
  at timestamp with time zone not null default clock_timestamp()
table reprise.sinks
  sink text collate "C" not null
  kind text not null
  options jsonb not null default '{}'::jsonb
  since timestamp with time zone not null default clock_timestamp()
  warnings jsonb not null default '[]'::jsonb
table reprise.skips
  consumer text collate "C" not null
  event_id uuid not null
  reason text not null
  actor text not null
  at timestamp with time zone not null default clock_timestamp()
table reprise.vitals
  process text collate "C" not null
  at timestamp with time zone not null default clock_timestamp()
  commit_p99_ms real not null
  waiting integer not null

-- constraints
reprise.checkpoints: checkpoints_next_offset_check CHECK ((next_offset > 0))
reprise.checkpoints: checkpoints_pkey PRIMARY KEY (consumer, generation, partition)
reprise.checkpoints: checkpoints_status_check CHECK ((status = ANY (ARRAY['running'::text, 'paused'::text, 'parked-full'::text, 'behind-code'::text])))
reprise.commands: commands_outcome_check CHECK ((outcome = ANY (ARRAY['accepted'::text, 'refused'::text, 'failed'::text])))
reprise.commands: commands_pkey PRIMARY KEY (entity_type, entity_id, command_id)
reprise.declarations: declarations_pkey PRIMARY KEY (consumer, declared_version)
reprise.entities: entities_pkey PRIMARY KEY (entity_type, entity_id)
reprise.entities: entities_version_check CHECK ((version > 0))
reprise.events: events_entity_type_entity_id_version_key UNIQUE (entity_type, entity_id, version)
reprise.events: events_offset_check CHECK (("offset" > 0))
reprise.events: events_origin_check CHECK ((origin = ANY (ARRAY['live'::text, 'backfill'::text])))
reprise.events: events_pkey PRIMARY KEY (partition, "offset")
reprise.events: events_version_check CHECK ((version > 0))
reprise.generations: generations_generation_check CHECK ((generation > 0))
reprise.generations: generations_pkey PRIMARY KEY (consumer, generation)
reprise.generations: generations_status_check CHECK ((status = ANY (ARRAY['building'::text, 'active'::text, 'standby'::text, 'dropped'::text])))
reprise.identity: identity_only_row_check CHECK (only_row)
reprise.identity: identity_partitions_check CHECK (((partitions >= 1) AND (partitions <= 4096)))
reprise.identity: identity_pkey PRIMARY KEY (only_row)
reprise.migrations: migrations_pkey PRIMARY KEY (id)
reprise.outbox: outbox_pkey PRIMARY KEY (sink, partition, "offset", topic)
reprise.parked: parked_pkey PRIMARY KEY (consumer, generation, entity_type, entity_id)
reprise.partitions: partitions_head_check CHECK ((head >= 0))
reprise.partitions: partitions_pkey PRIMARY KEY (partition)
reprise.reactions: reactions_pkey PRIMARY KEY (reaction, entity_type, entity_id, version)
reprise.reactions: reactions_run_check CHECK ((run >= 0))
reprise.reactions: reactions_status_check CHECK ((status = ANY (ARRAY['open'::text, 'done'::text, 'parked'::text, 'skipped'::text])))
reprise.reactions: reactions_version_check CHECK ((version > 0))
reprise.replays: replays_phase_check CHECK ((phase = ANY (ARRAY['filling'::text, 'verifying'::text, 'different'::text, 'verified'::text, 'switched'::text, 'rolled-back'::text, 'dropped'::text, 'cancelled'::text])))
reprise.replays: replays_pkey PRIMARY KEY (consumer, generation)
reprise.replays: replays_rate_check CHECK ((rate > 0))
reprise.replays: replays_slices_check CHECK ((slices > 0))
reprise.replays: replays_wanted_check CHECK ((wanted = ANY (ARRAY['run'::text, 'pause'::text, 'cancel'::text])))
reprise.reruns: reruns_pkey PRIMARY KEY (reaction, entity_type, entity_id, version, run)
reprise.reruns: reruns_reason_check CHECK ((reason <> ''::text))
reprise.sinks: sinks_pkey PRIMARY KEY (sink)
reprise.sinks: sinks_warnings_check CHECK ((jsonb_typeof(warnings) = 'array'::text))
reprise.skips: skips_pkey PRIMARY KEY (consumer, event_id)
reprise.skips: skips_reason_check CHECK ((reason <> ''::text))
reprise.vitals: vitals_pkey PRIMARY KEY (process)

-- indexes
CREATE UNIQUE INDEX checkpoints_pkey ON reprise.checkpoints USING btree (consumer, generation, partition)
CREATE UNIQUE INDEX commands_pkey ON reprise.commands USING btree (entity_type, entity_id, command_id)
CREATE UNIQUE INDEX declarations_pkey ON reprise.declarations USING btree (consumer, declared_version)
CREATE UNIQUE INDEX entities_pkey ON reprise.entities USING btree (entity_type, entity_id)
CREATE UNIQUE INDEX events_entity_type_entity_id_version_key ON reprise.events USING btree (entity_type, entity_id, version)
CREATE UNIQUE INDEX events_pkey ON reprise.events USING btree (partition, "offset")
CREATE UNIQUE INDEX generations_one_active ON reprise.generations USING btree (consumer) WHERE (status = 'active'::text)
CREATE UNIQUE INDEX generations_one_building ON reprise.generations USING btree (consumer) WHERE (status = 'building'::text)
CREATE UNIQUE INDEX generations_pkey ON reprise.generations USING btree (consumer, generation)
CREATE UNIQUE INDEX identity_pkey ON reprise.identity USING btree (only_row)
CREATE UNIQUE INDEX migrations_pkey ON reprise.migrations USING btree (id)
CREATE UNIQUE INDEX outbox_pkey ON reprise.outbox USING btree (sink, partition, "offset", topic)
CREATE UNIQUE INDEX parked_pkey ON reprise.parked USING btree (consumer, generation, entity_type, entity_id)
CREATE UNIQUE INDEX partitions_pkey ON reprise.partitions USING btree (partition)
CREATE INDEX reactions_not_done ON reprise.reactions USING btree (reaction, entity_type, entity_id, version) WHERE (status = ANY (ARRAY['open'::text, 'parked'::text]))
CREATE UNIQUE INDEX reactions_pkey ON reprise.reactions USING btree (reaction, entity_type, entity_id, version)
CREATE UNIQUE INDEX replays_pkey ON reprise.replays USING btree (consumer, generation)
CREATE UNIQUE INDEX reruns_pkey ON reprise.reruns USING btree (reaction, entity_type, entity_id, version, run)
CREATE UNIQUE INDEX sinks_pkey ON reprise.sinks USING btree (sink)
CREATE UNIQUE INDEX skips_pkey ON reprise.skips USING btree (consumer, event_id)
CREATE UNIQUE INDEX vitals_pkey ON reprise.vitals USING btree (process)

-- triggers
CREATE TRIGGER events_append_only BEFORE DELETE OR UPDATE ON reprise.events FOR EACH ROW EXECUTE FUNCTION reprise.refuse_change()
CREATE TRIGGER events_no_truncate BEFORE TRUNCATE ON reprise.events FOR EACH STATEMENT EXECUTE FUNCTION reprise.refuse_change()

-- views
view reprise.lag
 SELECT c.consumer,
    c.generation,
    c.partition,
    p.head,
    c.next_offset,
    c.status,
    ((p.head + 1) - c.next_offset) AS lag_events,
    ( SELECT EXTRACT(epoch FROM (clock_timestamp() - e.recorded_at)) AS "extract"
           FROM reprise.events e
          WHERE ((e.partition = c.partition) AND (e."offset" = c.next_offset))) AS lag_seconds
   FROM (reprise.checkpoints c
     JOIN reprise.partitions p ON ((p.partition = c.partition)))
  WHERE (c.next_offset IS NOT NULL);
view reprise.published_events
 SELECT events.partition,
    events."offset",
    events.event_id,
    events.entity_type,
    events.entity_id,
    events.version,
    events.type,
    events.schema_version,
        CASE
            WHEN (events.published_after IS NOT NULL) THEN events.data
            ELSE NULL::jsonb
        END AS data,
        CASE
            WHEN (events.published_after IS NOT NULL) THEN events.meta
            ELSE NULL::jsonb
        END AS meta,
    events.command_id,
    events.origin,
    events.published_after,
    events.occurred_at,
    events.recorded_at
   FROM reprise.events;

-- functions
CREATE OR REPLACE FUNCTION reprise.add_sink(a_sink text, a_kind text, some_options jsonb)
 RETURNS boolean
 LANGUAGE plpgsql
 SET lock_timeout TO '1s'
AS $function$
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
end $function$
CREATE OR REPLACE FUNCTION reprise.commit(batch jsonb)
 RETURNS TABLE(in_partition smallint, head_before bigint)
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET enable_hashjoin TO 'off'
 SET enable_mergejoin TO 'off'
AS $function$
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
end $function$
CREATE OR REPLACE FUNCTION reprise.commit_load(batch jsonb)
 RETURNS TABLE(in_entity_type text, in_entity_id text, in_command_id text, of_version integer, of_published_version integer, of_definition integer, of_state jsonb, of_body_hash text, of_outcome text, of_code text, of_first_version integer, of_last_version integer, of_offset bigint)
 LANGUAGE plpgsql
 STABLE
 SET enable_seqscan TO 'off'
 SET enable_hashjoin TO 'off'
 SET enable_mergejoin TO 'off'
AS $function$
begin
  return query
  select e.entity_type, e.entity_id, null::text, e.version, e.published_version, e.definition, e.state,
         null::text, null::text, null::text, null::integer, null::integer, null::bigint
  from jsonb_to_recordset(batch -> 'entities') as w (entity_type text, entity_id text)
  join reprise.entities e on e.entity_type = w.entity_type and e.entity_id = w.entity_id
  union all
  select c.entity_type, c.entity_id, c.command_id, null, null, null, null,
         encode(c.body_hash, 'hex'), c.outcome, c.refusal_code, c.first_version, c.last_version, v."offset"
  from jsonb_to_recordset(batch -> 'commands') as w (entity_type text, entity_id text, command_id text)
  join reprise.commands c
    on c.entity_type = w.entity_type and c.entity_id = w.entity_id and c.command_id = w.command_id
  left join reprise.events v
    on v.entity_type = c.entity_type and v.entity_id = c.entity_id and v.version = c.last_version
    and c.first_version is not null;
end $function$
CREATE OR REPLACE FUNCTION reprise.copy_rows(a_consumer text, a_generation integer, a_after text, a_rows integer)
 RETURNS TABLE(last_key text, copied bigint)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'reprise', 'pg_temp'
AS $function$
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
end $function$
CREATE OR REPLACE FUNCTION reprise.create_generation(a_consumer text, a_version integer, a_status text)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'reprise', 'pg_temp'
AS $function$
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
end $function$
CREATE OR REPLACE FUNCTION reprise.drop_generation(a_consumer text, a_generation integer)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'reprise', 'pg_temp'
 SET lock_timeout TO '3s'
AS $function$
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
end $function$
CREATE OR REPLACE FUNCTION reprise.index_generation(a_consumer text, a_generation integer)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'reprise', 'pg_temp'
AS $function$
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
end $function$
CREATE OR REPLACE FUNCTION reprise.lock_active(a_consumer text)
 RETURNS TABLE(partition smallint, next_offset bigint)
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'reprise', 'pg_temp'
 SET lock_timeout TO '3s'
AS $function$
  select c.partition, c.next_offset from checkpoints c
  where c.consumer = a_consumer
    and c.generation = (select generation from generations where consumer = a_consumer and status = 'active')
  order by c.partition for update
$function$
CREATE OR REPLACE FUNCTION reprise.refuse_change()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
  raise exception 'reprise.% is append only', tg_table_name using errcode = 'insufficient_privilege';
end $function$
CREATE OR REPLACE FUNCTION reprise.remove_sink(a_sink text)
 RETURNS bigint
 LANGUAGE plpgsql
 SET lock_timeout TO '1s'
AS $function$
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
end $function$
CREATE OR REPLACE FUNCTION reprise.replication_lag_seconds()
 RETURNS double precision
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'reprise', 'pg_temp'
AS $function$
  select extract(epoch from max(replay_lag))::double precision from pg_stat_replication
$function$
CREATE OR REPLACE FUNCTION reprise.switch_generation(a_consumer text, a_generation integer, a_reshape boolean)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'reprise', 'pg_temp'
 SET lock_timeout TO '3s'
AS $function$
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
end $function$
CREATE OR REPLACE FUNCTION reprise.words(list text[])
 RETURNS text
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE STRICT
RETURN array_to_string(list, ' '::text)

-- grants
select on column reprise.events.entity_id to reprise_feed
select on column reprise.events.entity_type to reprise_feed
select on column reprise.events.event_id to reprise_feed
select on column reprise.events.offset to reprise_feed
select on column reprise.events.partition to reprise_feed
select on column reprise.events.published_after to reprise_feed
select on column reprise.events.version to reprise_feed
update on column reprise.partitions.head to reprise_commit
update on column reprise.sinks.warnings to reprise_relay
execute on function reprise.commit to reprise_commit
execute on function reprise.commit_load to reprise_commit
execute on function reprise.copy_rows to reprise_replay
execute on function reprise.create_generation to reprise_replay
execute on function reprise.drop_generation to reprise_replay
execute on function reprise.index_generation to reprise_replay
execute on function reprise.lock_active to reprise_replay
execute on function reprise.replication_lag_seconds to reprise_replay
execute on function reprise.switch_generation to reprise_replay
execute on function reprise.words to reprise_project
execute on function reprise.words to reprise_replay
usage on schema read to reprise_project
usage on schema read to reprise_read
usage on schema read to reprise_replay
usage on schema reprise to reprise_commit
usage on schema reprise to reprise_feed
usage on schema reprise to reprise_project
usage on schema reprise to reprise_react
usage on schema reprise to reprise_read
usage on schema reprise to reprise_relay
usage on schema reprise to reprise_replay
insert, select, update on table reprise.checkpoints to reprise_feed
select, update on table reprise.checkpoints to reprise_project
insert, select, update on table reprise.checkpoints to reprise_react
select on table reprise.checkpoints to reprise_read
select, update on table reprise.checkpoints to reprise_relay
select, update on table reprise.checkpoints to reprise_replay
insert, select, update on table reprise.commands to reprise_commit
select on table reprise.commands to reprise_read
select on table reprise.declarations to reprise_read
select on table reprise.declarations to reprise_replay
insert, select, update on table reprise.entities to reprise_commit
select on table reprise.entities to reprise_read
insert, select on table reprise.events to reprise_commit
select on table reprise.events to reprise_project
select on table reprise.events to reprise_react
select on table reprise.events to reprise_read
select on table reprise.events to reprise_replay
select on table reprise.generations to reprise_project
select on table reprise.generations to reprise_read
select on table reprise.generations to reprise_replay
select on table reprise.identity to reprise_commit
select on table reprise.identity to reprise_feed
select on table reprise.identity to reprise_project
select on table reprise.identity to reprise_react
select on table reprise.identity to reprise_read
select on table reprise.identity to reprise_relay
select on table reprise.identity to reprise_replay
select on table reprise.migrations to reprise_read
select on table reprise.migrations to reprise_replay
insert on table reprise.outbox to reprise_commit
select on table reprise.outbox to reprise_read
delete, select on table reprise.outbox to reprise_relay
delete, insert, select, update on table reprise.parked to reprise_feed
delete, insert, select, update on table reprise.parked to reprise_project
delete, insert, select, update on table reprise.parked to reprise_react
select on table reprise.parked to reprise_read
delete, insert, select, update on table reprise.parked to reprise_relay
delete, insert, select, update on table reprise.parked to reprise_replay
select on table reprise.partitions to reprise_commit
select on table reprise.partitions to reprise_feed
select on table reprise.partitions to reprise_project
select on table reprise.partitions to reprise_react
select on table reprise.partitions to reprise_read
select on table reprise.partitions to reprise_replay
insert, select, update on table reprise.reactions to reprise_react
select on table reprise.reactions to reprise_read
select on table reprise.replays to reprise_read
insert, select, update on table reprise.replays to reprise_replay
select on table reprise.reruns to reprise_read
select on table reprise.sinks to reprise_commit
select on table reprise.sinks to reprise_project
select on table reprise.sinks to reprise_read
select on table reprise.sinks to reprise_relay
select on table reprise.skips to reprise_feed
select on table reprise.skips to reprise_project
select on table reprise.skips to reprise_react
select on table reprise.skips to reprise_read
select on table reprise.skips to reprise_relay
select on table reprise.skips to reprise_replay
delete, insert, select, update on table reprise.vitals to reprise_commit
select on table reprise.vitals to reprise_read
select on table reprise.vitals to reprise_replay
select on view reprise.lag to reprise_read
select on view reprise.lag to reprise_replay
select on view reprise.published_events to reprise_feed
select on view reprise.published_events to reprise_read
