import type { Connection } from '@temporalio/client';

const ATTRIBUTES = ['RepriseEntityType', 'RepriseEntityId'] as const;
const KEYWORD = 2;
const VISIBLE_MS_MAX = 15_000;
const POLL_MS = 100;

const ALREADY_EXISTS = 6;
const PERMISSION_DENIED = 7;
const UNIMPLEMENTED = 12;

/** Registers what entity workflows carry. False where that is not allowed: then they start without, and `doctor` says how. */
export async function registerSearchAttributes(connection: Connection, namespace: string): Promise<boolean> {
  const missing = await missingSearchAttributes(connection, namespace);
  if (missing.length === 0) return true;
  try {
    await connection.operatorService.addSearchAttributes({
      namespace,
      searchAttributes: Object.fromEntries(missing.map((name) => [name, KEYWORD])),
    });
  } catch (error) {
    const { code } = error as { code?: number };
    if (code === PERMISSION_DENIED || code === UNIMPLEMENTED) return false;
    if (code !== ALREADY_EXISTS) throw error;
  }
  // A workflow that starts before the server has taken notice fails its start.
  for (const until = Date.now() + VISIBLE_MS_MAX; Date.now() < until;) {
    if ((await missingSearchAttributes(connection, namespace)).length === 0) return true;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  return false;
}

/** Whether workflows may carry them: one that starts with an unregistered attribute fails its start. */
export async function hasSearchAttributes(connection: Connection, namespace: string): Promise<boolean> {
  try {
    return (await missingSearchAttributes(connection, namespace)).length === 0;
  } catch (error) {
    const { code } = error as { code?: number };
    if (code === PERMISSION_DENIED || code === UNIMPLEMENTED) return false;
    throw error;
  }
}

/** Names that the namespace does not have. */
export async function missingSearchAttributes(connection: Connection, namespace: string): Promise<string[]> {
  const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace });
  return ATTRIBUTES.filter((name) => !Object.hasOwn(customAttributes ?? {}, name));
}
