import { InUse, takeLock } from '../../embedded/lock';
import { CliFailure } from '../failure';

/** Keeps `.reprise` for this process until the returned function is called. */
export function keepAlone(dir: string): () => void {
  try {
    return takeLock(dir);
  } catch (error) {
    if (!(error instanceof InUse)) throw error;
    throw new CliFailure(
      'already_running',
      `'reprise start' is already running here (process ${error.pid})`,
      'Stop it with Ctrl-C, or use another checkout: two run side by side.',
    );
  }
}
