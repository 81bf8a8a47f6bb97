// Far more than any message needs, far less than what exhausts the stack of a writer, of Temporal's UI or of PostgreSQL.
const DEPTH_MAX = 100;

/** Why a value cannot be stored, or null. PostgreSQL's jsonb takes neither NUL nor half of a surrogate pair. */
export function unstorable(value: unknown): string | null {
  if (isTooDeep(value)) return `is nested deeper than ${DEPTH_MAX} levels`;
  const text = toJson(value);
  if (text === undefined) return 'is not JSON';
  const found = UNSTORABLE_ESCAPE.exec(text);
  if (!found) return null;
  return found[1] === '0000' ? 'holds a NUL character' : 'holds a lone surrogate';
}

/** Also true of a value that contains itself. */
export function isTooDeep(value: unknown, depth = 0): boolean {
  if (value === null || typeof value !== 'object') return false;
  return depth >= DEPTH_MAX || Object.values(value).some((inner) => isTooDeep(inner, depth + 1));
}

/**
 * What in a value JSON would not give back as it was (a Date, a Map, NaN, a class's instance), or null. State and event
 * data must come back from the database as what they were, or the next decision would meet another type than a test did.
 */
export function unlikeJson(value: unknown): string | null {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return null;
  if (typeof value === 'number') return Number.isFinite(value) ? null : `holds ${value}, which JSON cannot say`;
  if (typeof value !== 'object') return `holds a ${typeof value}, which JSON cannot say`;
  const proto: unknown = Object.getPrototypeOf(value);
  if (!Array.isArray(value) && proto !== Object.prototype && proto !== null) {
    const { name } = value.constructor;
    return `holds a ${name}, which JSON does not give back: keep plain objects, and times as ISO 8601 text`;
  }
  for (const inner of Object.values(value)) {
    // A field that is undefined is a field left out; in an array it would come back as null.
    if (inner === undefined && !Array.isArray(value)) continue;
    const found = unlikeJson(inner);
    if (found) return found;
  }
  return null;
}

function toJson(value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch {
    return undefined; // a bigint
  }
}

// JSON.stringify writes both as escapes (lone surrogates since ES2019); an even run of backslashes before is data.
const UNSTORABLE_ESCAPE = /(?<!\\)(?:\\\\)*\\u(0000|d[89a-f][0-9a-f]{2})/;

const ISO_TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?(Z|[+-]\d{2}:\d{2})$/;

const ZONE_HOURS_MAX = 15;

/** ISO 8601 with a zone, a moment of the years 0001 to 9999 in UTC, to the microsecond: what PostgreSQL takes unchanged. */
export function isStorableTime(text: string): boolean {
  if (!ISO_TIME.test(text) || !isOfCalendar(text)) return false;
  const year = new Date(text).getUTCFullYear(); // NaN for what is no time
  return year >= 1 && year <= 9999;
}

/** JavaScript takes 30 February for 1 March, and zones of 20 hours; PostgreSQL takes neither. */
function isOfCalendar(iso: string): boolean {
  const day = iso.slice(0, 10);
  const zoneHours = Number(/[+-](\d{2}):\d{2}$/.exec(iso)?.[1] ?? 0);
  const midnight = new Date(`${day}T00:00:00Z`);
  return !Number.isNaN(midnight.getTime()) && midnight.toISOString().startsWith(day) && zoneHours <= ZONE_HOURS_MAX;
}

/** JSON with sorted keys: equal values give equal text, whatever order their keys were written in. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    inner !== null && typeof inner === 'object' && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}
