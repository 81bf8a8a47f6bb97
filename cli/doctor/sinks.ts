import type { Pool } from 'pg';
import { readSinkStatus } from '../../db/sinks';
import type { SinkKind } from '../../relay/open-sink';
import type { Check } from './check';

const CURES: Record<SinkKind, string> = {
  nats: "Keep the stream in files, on 3 replicas or on a server with 'sync_interval: always' (which NATS does not tell: then this is right, and stays).",
  rabbitmq: 'Bind a queue to the exchange for these types, or make their events private.',
  kafka: 'See its settings.',
};

/** What the relays found doubtful about their brokers, and whether they run. */
export async function checkSinks(db: Pool): Promise<Check[]> {
  const sinks = await readSinkStatus(db);
  return sinks.map(({ sink, kind, status, waiting, warnings }): Check => {
    const check = `sink ${sink}`;
    const found = `${status}, ${waiting} waiting`;
    if (warnings.length > 0) {
      return { check, status: 'warn', found: [found, ...warnings].join('; '), next: CURES[kind] };
    }
    return status === 'running'
      ? { check, status: 'pass', found }
      : { check, status: 'warn', found, next: "See 'reprise sink ls' and 'reprise parked ls'." };
  });
}
