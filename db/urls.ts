import { createHmac } from 'node:crypto';

/** The logins that are used; each is `reprise_<name>` in PostgreSQL. */
export const ROLES_IN_USE = ['commit', 'project', 'read', 'relay', 'feed', 'react', 'replay'] as const;
export type Role = (typeof ROLES_IN_USE)[number];

export const loginOf = (role: Role): string => `reprise_${role}`;

export interface OwnerUrl {
  readonly url: string;
  /** We made the database, so its logins have derived passwords. */
  readonly owned: boolean;
}

/** The derived login when the database is ours; else `DATABASE_URL_<ROLE>`, else the owner's own: `fellBack`. */
export function roleUrl(role: Role, env: NodeJS.ProcessEnv, owner: OwnerUrl): { url: string; fellBack: boolean } {
  const configured = env[`DATABASE_URL_${role.toUpperCase()}`];
  // Meant for another database than the one we made.
  if (configured && !owner.owned) return { url: configured, fellBack: false };
  if (!owner.owned) return { url: owner.url, fellBack: true };
  const url = new URL(owner.url);
  url.username = loginOf(role);
  url.password = derivedPassword(role, owner.url);
  return { url: url.toString(), fellBack: false };
}

/** HMAC-SHA256 of the owner's password and the role, in hex: nothing to store, and nobody's password twice. */
export function derivedPassword(role: Role, ownerUrl: string): string {
  return createHmac('sha256', decodeURIComponent(new URL(ownerUrl).password))
    .update(loginOf(role))
    .digest('hex');
}
