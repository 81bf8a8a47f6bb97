import { createHash } from 'node:crypto';
import type { CommandMessage } from '../../contracts/message';
import { canonicalJson } from '../../contracts/storable';

/**
 * SHA-256, in hex, of the canonical JSON as sent: before defaults and upcasts, so that a deploy changes no hash. When it
 * happened is part of what is said; `meta` is not: a resend has a trace of its own.
 */
export function bodyHash({ name, version, data, occurredAt }: CommandMessage): string {
  // Without a time the hash is that of the three alone: storage format.
  const said = occurredAt === undefined ? [name, version, data] : [name, version, data, occurredAt];
  return createHash('sha256').update(canonicalJson(said)).digest('hex');
}
