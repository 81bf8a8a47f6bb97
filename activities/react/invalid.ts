const INVALID_ARGUMENT = 3;

/** Temporal can never take this: too big, a name that is none. The SDK wraps what gRPC said. */
export function isInvalid(error: unknown): boolean {
  const { code, cause } = error as { code?: unknown; cause?: unknown };
  return code === INVALID_ARGUMENT || (cause !== undefined && cause !== null && isInvalid(cause));
}
