import type { ClientBase } from 'pg';
import { derivedPassword, loginOf, ROLES_IN_USE, type Role } from './urls';

export interface RoleOptions {
  readonly ownerUrl: string;
  readonly owned: boolean;
}

// How long a stopped process may hold locks, and how soon the server notices that a client's machine is gone.
const SETTINGS = {
  idle_in_transaction_session_timeout: '10s',
  lock_timeout: '10s',
  tcp_keepalives_idle: '10',
  tcp_keepalives_interval: '5',
  tcp_keepalives_count: '3',
} as const;

// Another starter creates or alters the same cluster-wide row: its work is as good as ours.
const RACES = new Set(['42710', '23505', 'XX000']);
const ATTEMPTS_MAX = 5;

/** Makes the logins of the cluster; those that exist are kept. Where that is not allowed, says what a DBA must run. */
export async function ensureRoles(client: ClientBase, { ownerUrl, owned }: RoleOptions): Promise<void> {
  const { rows } = await client.query<{ rolname: string }>(
    'select rolname from pg_roles where rolname = any($1::text[])',
    [ROLES_IN_USE.map(loginOf)],
  );
  const existing = new Set(rows.map(({ rolname }) => rolname));
  for (const role of ROLES_IN_USE) {
    if (existing.has(loginOf(role)) && !owned) continue;
    await tolerantly(client, role, createSql(role, owned ? derivedPassword(role, ownerUrl) : null));
  }
  await client.query(
    `do $$ begin execute format('grant connect on database %I to ${ROLES_IN_USE.map(loginOf).join(', ')}', current_database()); end $$`,
  );
}

// The password is hex that we derived and names are our own, so the text holds nothing to escape.
function createSql(role: Role, password: string | null): string {
  const login = password === null ? 'nologin' : `login password '${password}'`;
  const settings = Object.entries(SETTINGS).map(
    ([name, value]) => `alter role ${loginOf(role)} set ${name} = '${value}';`,
  );
  return `do $$ begin
    if not exists (select from pg_roles where rolname = '${loginOf(role)}') then create role ${loginOf(role)} ${login};
    else alter role ${loginOf(role)} ${login}; end if; end $$; ${settings.join(' ')}`;
}

async function tolerantly(client: ClientBase, role: Role, sql: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await client.query(sql);
      return;
    } catch (error) {
      const { code = '' } = error as { code?: string };
      if (code === '42501') throw new NotAllowedToCreateRoles(role);
      if (!RACES.has(code) || attempt === ATTEMPTS_MAX) throw error;
    }
  }
}

/** The login that migrates may not create roles. */
export class NotAllowedToCreateRoles extends Error {
  override readonly name = 'NotAllowedToCreateRoles';

  constructor(role: Role) {
    const needed = ROLES_IN_USE.map((name) => `create role ${loginOf(name)} nologin;`).join(' ');
    super(`this login may not create role ${loginOf(role)}: have a DBA run once: ${needed} Then migrate again.`);
  }
}
