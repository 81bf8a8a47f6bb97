-- Subscribers straight from the log: they read it, and move only their own places.

grant usage on schema reprise to reprise_feed;
grant select on identity, partitions, events, skips to reprise_feed;
grant select, insert, update on checkpoints to reprise_feed;
grant select, insert, update, delete on parked to reprise_feed;
create policy feeds_own on checkpoints to reprise_feed using (consumer like 'feed/%');
create policy feeds_own on parked to reprise_feed using (consumer like 'feed/%');
