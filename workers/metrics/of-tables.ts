import { Gauge, type Registry } from 'prom-client';
import type { Pool } from 'pg';
import { readFigures, type Figures } from '../../db/figures';

// Several that scrape, or one in a hurry, cost one look.
const KEPT_MS = 1_000;

/**
 * The gauges that say what the tables say, whichever process is dead. Call what it returns before each scrape: it looks
 * again when the last look is older than 1 s. While the database does not answer they are absent, not old.
 */
export function gaugesOfTables(registry: Registry, db: Pool): () => Promise<void> {
  const up = new Gauge({
    name: 'reprise_database_up',
    help: 'Whether the tables could be asked.',
    registers: [registry],
  });
  const gauges = makeGauges(registry);
  let lookedAt = -Infinity;
  let looking: Promise<void> | null = null;

  return async () => {
    if (looking === null && Date.now() - lookedAt >= KEPT_MS) {
      looking = look().finally(() => {
        lookedAt = Date.now();
        looking = null;
      });
    }
    await looking;
  };

  async function look(): Promise<void> {
    const figures = await readFigures(db).catch(() => null);
    up.set(figures ? 1 : 0);
    setAll(gauges, figures ?? { outbox: [], lag: [], standing: [], audits: [] });
  }
}

type Gauges = ReturnType<typeof makeGauges>;

function makeGauges(registry: Registry) {
  const gauge = <const Label extends string>(name: string, help: string, labelNames: readonly Label[]) =>
    new Gauge({ name, help, labelNames: [...labelNames], registers: [registry] });
  const ofConsumer = ['consumer', 'generation'] as const;
  return {
    outboxRows: gauge('reprise_outbox_rows', 'Messages waiting to be published.', ['sink']),
    outboxOldest: gauge('reprise_outbox_oldest_seconds', 'Age of the oldest of them; 0 without one.', ['sink']),
    sinkWarnings: gauge('reprise_sink_warnings', 'What is doubtful about its broker: see reprise sink ls.', ['sink']),
    lagEvents: gauge('reprise_lag_events', 'Head + 1 - next offset.', [...ofConsumer, 'partition']),
    lagSeconds: gauge('reprise_lag_seconds', 'Age of the oldest event not applied; 0 without one.', [
      ...ofConsumer,
      'partition',
    ]),
    checkpoints: gauge('reprise_checkpoints', 'Partitions by the status of their checkpoint.', [
      ...ofConsumer,
      'status',
    ]),
    parked: gauge('reprise_parked_entities', 'Entities held back.', ofConsumer),
    drifts: gauge('reprise_audit_drift_entities', 'Rows or states that an audit found different from their events.', [
      'consumer',
    ]),
    audited: gauge('reprise_audit_last_run_timestamp_seconds', 'When the last audit ended.', ['consumer']),
  };
}

function setAll(gauges: Gauges, { outbox, lag, standing, audits }: Figures): void {
  for (const gauge of Object.values(gauges)) gauge.reset();
  for (const { sink, rows, oldest_seconds, warnings } of outbox) {
    gauges.outboxRows.set({ sink }, rows);
    gauges.outboxOldest.set({ sink }, oldest_seconds);
    gauges.sinkWarnings.set({ sink }, warnings);
  }
  for (const { consumer, generation, partition, lag_events, lag_seconds } of lag) {
    gauges.lagEvents.set({ consumer, generation, partition }, lag_events);
    gauges.lagSeconds.set({ consumer, generation, partition }, lag_seconds);
  }
  for (const { consumer, generation, running, paused, parked_full, behind_code, parked } of standing) {
    const counts = { running, paused, 'parked-full': parked_full, 'behind-code': behind_code };
    for (const [status, count] of Object.entries(counts)) {
      gauges.checkpoints.set({ consumer, generation, status }, count);
    }
    gauges.parked.set({ consumer, generation }, parked);
  }
  for (const { consumer, drifts, ended_at } of audits) {
    gauges.drifts.set({ consumer }, drifts);
    gauges.audited.set({ consumer }, ended_at);
  }
}
