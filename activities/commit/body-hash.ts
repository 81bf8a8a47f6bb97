import { createHash } from 'node:crypto';
import type { CommandMessage } from '../../contracts/message';
import { canonicalJson } from '../../contracts/storable';

/** SHA-256, in hex, of the canonical JSON as sent: before defaults and upcasts, so that a deploy changes no hash. */
export function bodyHash({ name, version, data }: CommandMessage): string {
  return createHash('sha256')
    .update(canonicalJson([name, version, data]))
    .digest('hex');
}
