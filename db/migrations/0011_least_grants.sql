-- Subscribers read what was published, and no more: an event that is private, or a command that lies behind it, is
-- nobody's outside. It keeps its row, so that offsets stay gapless.
create view published_events as
select partition, "offset", event_id, entity_type, entity_id, version, type, schema_version,
       case when published_after is not null then data end as data,
       case when published_after is not null then meta end as meta,
       command_id, origin, published_after, occurred_at, recorded_at
from events;
revoke select on events from reprise_feed;
grant select (partition, "offset", event_id, entity_type, entity_id, version, published_after) on events to reprise_feed;
grant select on published_events to reprise_feed;
-- The policies `feeds_own` tell feeds from other consumers, and not one feed from another: all subscribers share one
-- login, and each could move the place of any. Who must be kept apart gets a login of his own, with a policy on his name.

-- 0004 took EXECUTE from everybody, and `words` came later. A generated column is computed by whoever writes its row.
revoke execute on function words(text[]) from public;
grant execute on function words(text[]) to reprise_project;
