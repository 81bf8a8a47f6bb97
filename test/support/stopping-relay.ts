import { relayOutbox } from '../../activities/relay';
import { openPool } from '../../db/pool';
import { listenForWakes } from '../../db/wake';
import { openSink, type SinkRow } from '../../relay/open-sink';
import { required } from './system';

// A relay that stops itself (SIGSTOP) in the middle of a round: some messages acknowledged, none removed.
async function main(): Promise<void> {
  const url = required('CHILD_DATABASE_URL');
  const row = JSON.parse(required('CHILD_SINK')) as SinkRow;
  const db = openPool({ url, max: 3, applicationName: 'test-child' });
  let published = 0;
  try {
    await relayOutbox(row.sink, {
      db,
      wakes: listenForWakes(url),
      heartbeat: () => undefined,
      signal: new AbortController().signal,
      open: () => openSink(row, process.env),
      onPublished: () => {
        published += 1;
        if (published !== 20) return;
        process.send?.('stopping');
        process.kill(process.pid, 'SIGSTOP');
      },
    });
  } catch (error) {
    process.send?.({ failed: error instanceof Error ? error.name : String(error) });
  }
  process.disconnect();
  process.exit(0);
}

void main();
