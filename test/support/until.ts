export interface UntilOptions {
  readonly what: string;
  readonly withinMs?: number;
}

const WITHIN_MS = 30_000;
const POLL_MS = 20;

/** Waits for a fact, with a bound: the value of the first check that is neither null, undefined nor false. */
export async function until<T>(
  check: () => Promise<T | null | undefined | false> | T | null | undefined | false,
  { what, withinMs = WITHIN_MS }: UntilOptions,
): Promise<T> {
  for (const end = Date.now() + withinMs; ;) {
    const found = await check();
    if (found !== null && found !== undefined && found !== false) return found;
    if (Date.now() > end) throw new Error(`not within ${withinMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
