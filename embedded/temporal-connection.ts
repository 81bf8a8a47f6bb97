import type { ConnectionOptions } from '@temporalio/client';
import { loadClientConnectConfig } from '@temporalio/envconfig';

export interface TemporalConfig {
  /** An address is given by the environment or a config file; without one, a local server is meant. */
  readonly configured: boolean;
  readonly options: ConnectionOptions;
  readonly namespace: string;
}

/** The standard `TEMPORAL_*` variables and `temporal.toml`, as every Temporal tool reads them. */
export function temporalConfig(): TemporalConfig {
  const { connectionOptions, namespace } = load();
  return {
    configured: typeof connectionOptions.address === 'string' && connectionOptions.address !== '',
    options: connectionOptions,
    namespace: namespace ?? 'default',
  };
}

/** Throws with what to mend: the library's own words for a file without profiles are a TypeError. */
function load(): ReturnType<typeof loadClientConnectConfig> {
  try {
    return loadClientConnectConfig();
  } catch (cause) {
    const file = process.env['TEMPORAL_CONFIG_FILE'] || 'temporal.toml in the configuration folder of temporalio';
    const why = cause instanceof TypeError ? 'it has no [profile.default]' : String(cause);
    throw new Error(`Temporal's configuration cannot be read (${file}): ${why}`, { cause });
  }
}
