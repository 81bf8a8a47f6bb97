const LENGTH_MAX = 2_000;

/** What an error says, as PostgreSQL can keep it: whatever was thrown, bounded, without NUL or half of a character. */
export function errorText(error: unknown): string {
  const bounded = wordsOf(error).slice(0, LENGTH_MAX).replaceAll('\0', '\uFFFD');
  return Buffer.from(bounded).toString(); // half of a surrogate pair becomes U+FFFD
}

/** A message may be missing or no text, and what was thrown may refuse to become one. */
function wordsOf(error: unknown): string {
  try {
    const { message } = (error ?? {}) as { message?: unknown };
    return typeof message === 'string' && message !== '' ? message : String(error);
  } catch {
    return 'what was thrown cannot be shown as text';
  }
}
