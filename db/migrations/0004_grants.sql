-- What each role may do. Roles themselves are made by db/roles.ts: they belong to the cluster, not to one database.

grant usage on schema reprise to reprise_commit, reprise_project, reprise_read;
grant usage on schema read to reprise_project, reprise_read;

-- The only writer of truth. Append only is a grant, not a habit.
grant select on identity, partitions, events, entities, commands, sinks to reprise_commit;
grant insert on events, entities, commands, outbox to reprise_commit;
grant update on entities, commands to reprise_commit;
grant update (head) on partitions to reprise_commit;

-- Projections: read the log, keep their own place. Their tables in schema read are granted one by one as they are made.
grant select on identity, partitions, events, generations, skips to reprise_project;
grant select, update on checkpoints to reprise_project;
grant select, insert, update, delete on parked to reprise_project;

-- People, dashboards and the client's reads.
grant select on all tables in schema reprise to reprise_read;
alter default privileges in schema reprise grant select on tables to reprise_read;

revoke execute on all functions in schema reprise from public;
grant execute on function commit(jsonb), commit_load(jsonb) to reprise_commit;
