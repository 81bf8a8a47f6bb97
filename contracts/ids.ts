/** Ids become parts of workflow ids, subjects and topics: bounded (in UTF-8), printable, and free of what those reserve. */
export const ID_BYTES_MAX = 200;

const utf8 = new TextEncoder();

// `/` separates the parts of a workflow id; `*` and `>` are wildcards of brokers; white space and controls hide.
// eslint reads the class as it is meant: everything but these.
const ENTITY_ID = /^[^\s/*>\p{Cc}\p{Cs}]+$/u;
const COMMAND_ID = /^[^\p{Cc}\p{Cs}]+$/u;

/** Why an entity id cannot be used, or null. */
export function badEntityId(id: string): string | null {
  return bad('an entity id', id, ENTITY_ID, "white space, control characters, '/', '*' or '>'");
}

/** Why a command id cannot be used, or null. */
export function badCommandId(id: string): string | null {
  return bad('a command id', id, COMMAND_ID, 'control characters or lone surrogates');
}

function bad(what: string, id: string, pattern: RegExp, forbidden: string): string | null {
  if (typeof id !== 'string' || id.length === 0) return `${what} is a non-empty string`;
  const bytes = utf8.encode(id).length;
  if (bytes > ID_BYTES_MAX) return `${what} has at most ${ID_BYTES_MAX} bytes, not ${bytes}`;
  return pattern.test(id) ? null : `${what} is without ${forbidden}`;
}
