import type { ClientBase } from 'pg';

// Each query gives lines in one order on every cluster: names only, no object ids, no owners, no passwords.
const SECTIONS: readonly (readonly [string, string])[] = [
  [
    'tables',
    `select format('table %s.%s%s', n.nspname, c.relname, coalesce(' with (' || array_to_string(c.reloptions, ', ') || ')', ''))
       || coalesce(E'\\n' || (select string_agg(format('  %s %s%s%s%s', a.attname, format_type(a.atttypid, a.atttypmod),
            case when a.attcollation <> t.typcollation then ' collate "' || co.collname || '"' else '' end,
            case when a.attnotnull then ' not null' else '' end,
            coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '')), E'\\n' order by a.attnum)
          from pg_attribute a join pg_type t on t.oid = a.atttypid
          left join pg_collation co on co.oid = a.attcollation
          left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
          where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped), '') as line
     from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname in ('reprise', 'read') and c.relkind = 'r' order by n.nspname, c.relname`,
  ],
  [
    'constraints',
    `select format('%s.%s: %s %s', n.nspname, r.relname, c.conname, pg_get_constraintdef(c.oid)) as line
     from pg_constraint c join pg_class r on r.oid = c.conrelid join pg_namespace n on n.oid = r.relnamespace
     where n.nspname in ('reprise', 'read') order by n.nspname, r.relname, c.conname`,
  ],
  [
    'indexes',
    `select indexdef as line from pg_indexes where schemaname in ('reprise', 'read') order by schemaname, tablename, indexname`,
  ],
  [
    'triggers',
    `select pg_get_triggerdef(t.oid) as line from pg_trigger t join pg_class r on r.oid = t.tgrelid
     join pg_namespace n on n.oid = r.relnamespace
     where n.nspname in ('reprise', 'read') and not t.tgisinternal order by r.relname, t.tgname`,
  ],
  [
    'views',
    `select format(E'view %s.%s\\n%s', n.nspname, c.relname, pg_get_viewdef(c.oid)) as line
     from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname in ('reprise', 'read') and c.relkind = 'v' order by n.nspname, c.relname`,
  ],
  [
    'functions',
    `select pg_get_functiondef(p.oid) as line from pg_proc p join pg_namespace n on n.oid = p.pronamespace
     where n.nspname in ('reprise', 'read') order by n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)`,
  ],
  [
    'grants',
    `select format('%s on %s to %s', string_agg(lower(g.privilege_type), ', ' order by g.privilege_type), g.what, g.who) as line
     from (
       select acl.privilege_type, format('%s %s.%s', case c.relkind when 'v' then 'view' else 'table' end, n.nspname, c.relname) as what,
              acl.grantee, c.relowner as owner
       from pg_class c join pg_namespace n on n.oid = c.relnamespace, aclexplode(c.relacl) acl
       where n.nspname in ('reprise', 'read') and c.relkind in ('r', 'v')
       union all
       select acl.privilege_type, format('column %s.%s.%s', n.nspname, c.relname, a.attname), acl.grantee, c.relowner
       from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace,
            aclexplode(a.attacl) acl
       where n.nspname in ('reprise', 'read')
       union all
       select acl.privilege_type, format('function %s.%s', n.nspname, p.proname), acl.grantee, p.proowner
       from pg_proc p join pg_namespace n on n.oid = p.pronamespace, aclexplode(p.proacl) acl
       where n.nspname in ('reprise', 'read')
       union all
       select acl.privilege_type, format('schema %s', n.nspname), acl.grantee, n.nspowner
       from pg_namespace n, aclexplode(n.nspacl) acl where n.nspname in ('reprise', 'read')
     ) x, lateral (select x.privilege_type, x.what, case when x.grantee = 0 then 'public' else pg_get_userbyid(x.grantee) end as who) g
     where x.grantee <> x.owner
     group by g.what, g.who order by g.what, g.who`,
  ],
];

/** The whole present schema as text, by our own sorted catalog queries: no pg_dump comes with the embedded server. */
export async function dumpSchema(client: ClientBase): Promise<string> {
  await client.query("set search_path = ''");
  const parts: string[] = [
    '-- What the migrations make of an empty database. Written by `reprise schema`, compared by `npm run check`.',
  ];
  for (const [name, query] of SECTIONS) {
    const { rows } = await client.query<{ line: string }>(query);
    parts.push(`\n-- ${name}`, ...rows.map(({ line }) => line.trimEnd()));
  }
  return `${parts.join('\n')}\n`;
}
