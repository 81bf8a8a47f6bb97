/**
 * Told what a consumer does, for figures: once per chunk of events, once per message of a sink. Never throws, never waits.
 */
export interface ConsumerWatch {
  /** A try begins: of a chunk, of a message, of a whole turn. `again`: the one before it failed. */
  readonly onTry: (again: boolean) => void;
  /** A try failed, whatever becomes of it. */
  readonly onError: () => void;
  /** These have been applied, and their transaction is committed. */
  readonly onApplied: (events: number) => void;
  /** A message was acknowledged, after so many milliseconds. */
  readonly onPublished: (ms: number) => void;
}

const nothing = (): void => undefined;

export const NOT_WATCHED: ConsumerWatch = {
  onTry: nothing,
  onError: nothing,
  onApplied: nothing,
  onPublished: nothing,
};

/** A whole turn as a try: one that Temporal began again after the last one failed is a retry like any other. */
export async function watchTurn<T>(watch: ConsumerWatch, attempt: number, turn: () => Promise<T>): Promise<T> {
  watch.onTry(attempt > 1);
  try {
    return await turn();
  } catch (error) {
    watch.onError();
    throw error;
  }
}
