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
  const { connectionOptions, namespace } = loadClientConnectConfig();
  return {
    configured: typeof connectionOptions.address === 'string' && connectionOptions.address !== '',
    options: connectionOptions,
    namespace: namespace ?? 'default',
  };
}
