-- CloudEvents asks for an absolute URI as dataschema: strict readers refused every event for 'order.created/2'. Said in the
-- one place of reprise.commit that says it, whatever else that function has become since 0006.
do $$
declare
  before text := pg_get_functiondef('reprise.commit(jsonb)'::regprocedure);
  after  text := replace(before, $q$'dataschema', v.type ||$q$, $q$'dataschema', 'reprise:' || v.type ||$q$);
begin
  if after = before then
    raise exception 'reprise.commit does not say dataschema where it did';
  end if;
  execute after;
end $$;
