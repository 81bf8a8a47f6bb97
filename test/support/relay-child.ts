import { relayOutbox } from '../../activities/relay';
import { openPool } from '../../db/pool';
import { listenForWakes } from '../../db/wake';
import { openSink, type SinkRow } from '../../relay/open-sink';
import { required } from './system';

/** A relay in a process of its own, until it is killed. */
async function main(): Promise<void> {
  const url = required('CHILD_DATABASE_URL');
  const row = JSON.parse(required('CHILD_SINK')) as SinkRow;
  await relayOutbox(row.sink, {
    db: openPool({ url, max: 3, applicationName: 'test-child' }),
    wakes: listenForWakes(url),
    heartbeat: () => undefined,
    signal: new AbortController().signal,
    open: () => openSink(row, process.env),
  });
}

void main();
